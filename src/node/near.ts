/**
 * Chunks that lie in a file on this machine, read where they lie: two processes of one machine need no network between them.
 *
 * Not here: who says where they lie (courier.ts), and what is written there (spool.ts, datafiles.ts).
 * Through a socket a chunk is copied some ten times, encrypted and decrypted; a file costs one read. Nobody is trusted for it:
 * what was read is checked by its hash like what was sent, and what cannot be read is sent after all. So it need not be known
 * whether both see the same files (a container does not, nor who came through a tunnel); it is tried.
 */
import { constants } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { basename, dirname, join } from 'node:path'
import type { Connection } from '@libp2p/interface'
import { type DataId, dataName } from '../ids.ts'
import { giveMemory, takeMemory } from '../spent.ts'
import { isShort } from './open-files.ts'

/** Where a chunk lies on the machine of who says so. */
export interface Place {
  /** Absolute. */
  readonly path: string
  /** Bytes from its begin. */
  readonly offset: number
  /** It was read, or need not be any more. */
  readonly free?: () => void
}

/** What is known of the other end of a connection. */
export interface Nearness {
  /** It is on this machine, and its files can be read as far as is known. */
  isNear: boolean
  /** Transfers in a row of which a chunk was not where it was said to lie, also when that was asked once more. */
  misses: number
  /** Where its data lies under its name, as was seen. */
  folder: string | undefined
  /** How often in a row something was looked for there in vain. */
  vain: number
  /** How often in a row it did not read what was offered to it where it was said to lie. */
  unread: number
}

/** Then nothing is looked for in files of the other end any more: it may be in a container, or at the end of a tunnel. */
const missesMax = 8
/** Then nothing is looked for by its name any more, until something was read there again. */
const vainMax = 8

const known = new WeakMap<Connection, Nearness>()

/** The same for all who talk over this connection. */
export function nearnessOf(connection: Connection): Nearness {
  const nearness = known.get(connection) ?? {
    isNear: isOwnAddress(connection.remoteAddr.toString()),
    misses: 0,
    folder: undefined,
    vain: 0,
    unread: 0
  }
  known.set(connection, nearness)
  return nearness
}

/** Of this machine, as `/ip4/127.0.0.1/tcp/1` is. */
export function isOwnAddress(address: string): boolean {
  const [, family, host] = address.split('/')
  if (family !== 'ip4' && family !== 'ip6') return false
  const own = Object.values(networkInterfaces()).flatMap((many) => many ?? [])
  return host === '::1' || host?.startsWith('127.') === true || own.some((one) => one.address === host)
}

/** Files of the other end, the last one kept open. */
export class NearFiles {
  readonly #nearness: Nearness
  readonly #openFile: typeof open
  #path = ''
  #file: FileHandle | undefined
  #hasMissed = false
  /** The last one could not be opened, and nothing is known of it. */
  #isUnknown = false

  constructor(nearness: Nearness, openFile: typeof open = open) {
    this.#nearness = nearness
    this.#openFile = openFile
  }

  /** Undefined if it cannot be read there. In memory that may be given back (spent.ts). `isFile`: that is known. */
  async read({ path, offset }: Place, length: number, isFile = false): Promise<Uint8Array | undefined> {
    const bytes = takeMemory(length)
    this.#isUnknown = false
    try {
      const file = await this.#open(path, isFile)
      for (let at = 0; at < length; ) {
        const { bytesRead } = await file.read(bytes, at, length - at, offset + at)
        if (bytesRead === 0) throw new Error('it is shorter')
        at += bytesRead
      }
      return bytes
    } catch (error) {
      giveMemory(bytes)
      this.#isUnknown = isShort(error)
      return undefined
    }
  }

  /** What was said to lie somewhere could not be read there, or is something else. */
  missed(): void {
    if (this.#isUnknown) return
    // The first one may have been renamed just now, as many are at a time.
    if (this.#hasMissed && ++this.#nearness.misses >= missesMax) this.#nearness.isNear = false
    this.#hasMissed = true
  }

  /** Undefined if it does not lie under its name at the other end, or nobody knows where that would be. */
  async look(id: DataId, isIt: (bytes: Uint8Array) => boolean): Promise<Uint8Array | undefined> {
    const { folder } = this.#nearness
    if (folder === undefined) return undefined
    const place = { path: join(folder, id), offset: 0 }
    const bytes = await this.read(place, dataName(id).size, true)
    if (bytes !== undefined && isIt(bytes)) {
      this.saw(id, place)
      return bytes
    }
    if (bytes !== undefined) giveMemory(bytes)
    if (!this.#isUnknown && ++this.#nearness.vain >= vainMax) this.#nearness.folder = undefined
    return undefined
  }

  /** What was read there is what its name says. */
  saw(id: DataId, { path }: Place): void {
    this.#nearness.misses = 0
    if (basename(path) !== id) return
    this.#nearness.folder = dirname(path)
    this.#nearness.vain = 0
  }

  async close(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    this.#path = ''
    await file?.close()
  }

  async #open(path: string, isFile: boolean): Promise<FileHandle> {
    if (this.#file !== undefined && this.#path === path) return this.#file
    await this.close()
    // A device would notice that it is opened, and a pipe would wait.
    if (!isFile && !(await stat(path)).isFile()) throw new Error('it is no file')
    this.#file = await this.#openFile(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
    this.#path = path
    return this.#file
  }
}
