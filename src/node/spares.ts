/**
 * Files of data that went, written over by data that comes.
 *
 * Not here: what goes (data/depot.ts), and which files hold what (datafiles.ts).
 * One is written to only once its new name is on the disk: after a power cut it would have its old name, and other bytes.
 * A new file costs its place in the folder's tables, its blocks, and pages of memory that nobody used before; one that lies there
 * has all of them. On a virtual machine whose unused memory goes back to its host that is most of what a MiB costs.
 */
import { randomBytes } from 'node:crypto'
import { type FileHandle, lstat, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { chunkBytes } from '../spent.ts'

/** What a name ends with that is no data: a start removes it. */
export const UNFINISHED = '.part'
/** Files that wait, and what share of the quota they may take beside it; what goes beyond that is removed. */
const sparesMax = 256
const quotaShare = 1 / 16
/** If none goes or comes for so long, all that wait are removed. */
const idleMs = 600_000
/** Smaller files are made as fast. */
const spareBytesMin = 256 * 1024
/** As files are made here. Others were linked to by programs, which may have them open. */
const ownMode = 0o600

export interface Opened {
  readonly path: string
  readonly file: FileHandle
  /** Bytes that lie in it already, and are to be written over or cut off. */
  readonly size: number
}

interface Spare {
  readonly path: string
  readonly size: number
  isNamed: boolean
}

export class Spares {
  readonly #folder: string
  readonly #most: number
  readonly #isSynced: boolean
  /** Oldest first. */
  readonly #waiting: Spare[] = []
  #coming = 0
  #isClosed = false
  #clearing: Promise<void> | undefined
  /** Files that made room for something else. */
  cleared = 0
  #timer: NodeJS.Timeout | undefined

  /** `quota`: bytes of data that may lie there. Unless the folder is synced, there is nothing to wait for. */
  constructor(folder: string, { quota, isSynced }: { quota: number; isSynced: boolean }) {
    this.#folder = folder
    this.#isSynced = isSynced
    const most = Math.min(sparesMax, Math.floor((quota * quotaShare) / chunkBytes))
    // There a folder cannot be synced.
    this.#most = isSynced && process.platform === 'win32' ? 0 : most
  }

  /** A file for data of about so many bytes, with anything in it. */
  async open(bytes: number): Promise<Opened> {
    const isFit = bytes >= spareBytesMin && bytes <= chunkBytes
    const spare = isFit && this.#waiting[0]?.isNamed ? this.#waiting.shift() : undefined
    if (spare !== undefined) {
      this.#timer?.refresh()
      const file = await open(spare.path, 'r+').catch(() => undefined)
      if (file !== undefined) return { path: spare.path, size: spare.size, file }
      await rm(spare.path, { force: true })
    }
    const path = this.#name()
    return { path, file: await open(path, 'wx+', 0o600), size: 0 }
  }

  /** Takes a file that nobody has open, or removes it. */
  async take(from: string): Promise<void> {
    const { size, mode, nlink } = await lstat(from).catch(() => ({ size: 0, mode: 0, nlink: 0 }))
    const isFit = size >= spareBytesMin && size <= chunkBytes && nlink === 1 && (mode & 0o777) === ownMode
    const isFull = this.#waiting.length + this.#coming >= this.#most
    if (!isFit || isFull || this.#isClosed) return await rm(from, { force: true })
    const path = this.#name()
    this.#coming++
    const isMoved = await rename(from, path).then(
      () => true,
      () => false
    )
    this.#coming--
    if (isMoved && !this.#isClosed) this.#keep(path, size)
    else await rm(isMoved ? path : from, { force: true })
  }

  /** Removes all, for want of room. Resolves when also those are gone that somebody else is removing. */
  async clear(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const removed = this.#waiting.splice(0).map(async ({ path }) => {
      await rm(path, { force: true })
      this.cleared++
    })
    this.#clearing = Promise.allSettled([this.#clearing, ...removed]).then(() => {})
    await this.#clearing
  }

  /** Removes all, and takes no more. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.clear()
  }

  /** The folder is synced now; what is returned is to be called once it is. */
  syncing(): () => void {
    const named = [...this.#waiting]
    return () => {
      for (const one of named) one.isNamed = true
    }
  }

  #keep(path: string, size: number): void {
    this.#waiting.push({ path, size, isNamed: !this.#isSynced })
    this.#timer ??= setTimeout(() => void this.clear(), idleMs).unref()
    this.#timer.refresh()
  }

  #name(): string {
    return join(this.#folder, randomBytes(9).toString('base64url') + UNFINISHED)
  }
}
