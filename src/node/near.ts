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
import type { Connection } from '@libp2p/interface'
import { giveMemory, takeMemory } from './chunk-memory.ts'

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
  /** Transfers in a row of which a chunk could not be read where it was said to lie, also when that was asked once more. */
  misses: number
}

/** Then nothing is looked for in files of the other end any more: it may be in a container, or at the end of a tunnel. */
const missesMax = 8

const known = new WeakMap<Connection, Nearness>()

/** The same for all who talk over this connection. */
export function nearnessOf(connection: Connection): Nearness {
  const nearness = known.get(connection) ?? {
    isNear: isOwnAddress(connection.remoteAddr.toString()),
    misses: 0
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
  #path = ''
  #file: FileHandle | undefined
  #hasMissed = false

  constructor(nearness: Nearness) {
    this.#nearness = nearness
  }

  /** Undefined if it cannot be read there. In memory that may be given back (chunk-memory.ts). */
  async read({ path, offset }: Place, length: number): Promise<Uint8Array | undefined> {
    const bytes = takeMemory(length)
    try {
      const file = await this.#open(path)
      for (let at = 0; at < length; ) {
        const { bytesRead } = await file.read(bytes, at, length - at, offset + at)
        if (bytesRead === 0) throw new Error('it is shorter')
        at += bytesRead
      }
      this.#nearness.misses = 0
      return bytes
    } catch {
      giveMemory(bytes)
      // The first one may have been renamed just now, as many are at a time.
      if (this.#hasMissed && ++this.#nearness.misses >= missesMax) this.#nearness.isNear = false
      this.#hasMissed = true
      return undefined
    }
  }

  async close(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    this.#path = ''
    await file?.close()
  }

  async #open(path: string): Promise<FileHandle> {
    if (this.#file !== undefined && this.#path === path) return this.#file
    await this.close()
    // A device would notice that it is opened, and a pipe would wait.
    if (!(await stat(path)).isFile()) throw new Error('it is no file')
    this.#file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
    this.#path = path
    return this.#file
  }
}
