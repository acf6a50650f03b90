/**
 * A file through which a client hands bytes over to a node on the same machine.
 *
 * Not here: when that is possible (near.ts), and for whom it is written to: who asks for it, or has read what was offered (courier.ts).
 * Its places are used again: pages that are there cost a tenth of fresh ones, and most of it never reaches a disk.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { chunkBytes } from '../spent.ts'
import type { Place } from './near.ts'
import { openTemporary, sweepTemporary, type Temporary } from './temporary.ts'

/** Chunks that lie there at a time; what comes beyond is sent. */
const placesMax = 32

interface Opened {
  readonly file: FileHandle
  readonly path: string
  readonly temporary: Temporary
}

export class Spool {
  readonly #base: string
  #opened: Promise<Opened> | undefined
  #isClosed = false
  readonly #free: number[] = []
  #count = 0

  constructor(base = tmpdir()) {
    this.#base = resolve(base)
  }

  /** Undefined if there is no room, also on the disk. */
  async place(bytes: Uint8Array): Promise<Place | undefined> {
    if (this.#isClosed) return undefined
    const at = this.#free.pop() ?? (this.#count < placesMax ? this.#count++ : undefined)
    if (at === undefined) return undefined
    const offset = at * chunkBytes
    try {
      this.#opened ??= this.#open()
      const { file, path } = await this.#opened
      for (let done = 0; done < bytes.byteLength; )
        done += (await file.write(bytes, done, bytes.byteLength - done, offset + done)).bytesWritten
      return { path, offset, free: () => void this.#free.push(at) }
    } catch {
      this.#free.push(at)
      return undefined
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const opened = await this.#opened?.catch(() => undefined)
    await opened?.file.close()
    await opened?.temporary.close()
  }

  async #open(): Promise<Opened> {
    // Killed, or ended without closing, each left some MB there; and a node may not start for long.
    void sweepTemporary(this.#base)
    const temporary = await openTemporary(this.#base)
    const path = join(temporary.folder, 'spool')
    return { file: await open(path, 'wx+', 0o600), path, temporary }
  }
}
