/**
 * Data that is coming, in a file of its own: which chunks are there, and who waits for which.
 *
 * Not here: where they come from (data.ts), and the file's place once it is whole (datafiles.ts).
 * Chunks can be passed on as they come, so that a transfer through a node takes hardly longer than one to it.
 */
import type { FileHandle } from 'node:fs/promises'
import { resolve } from 'node:path'
import { type DataId, dataName } from '../ids.ts'
import { giveMemory } from '../spent.ts'
import { type Chunks, chunkBytes, chunksIn, readChunk } from './chunks.ts'
import type { Place } from './near.ts'
import type { Opened } from './spares.ts'

export class Part {
  readonly id: DataId
  readonly list: Uint8Array
  path: string
  /** Resolves when nobody has its file open any more. */
  readonly closed: Promise<void>
  readonly #file: FileHandle
  readonly #oldSize: number
  readonly #close = Promise.withResolvers<void>()
  readonly #has: Uint8Array
  /** Of those who want a chunk that is not there. */
  readonly #waiting = new Map<number, PromiseWithResolvers<void>>()
  #readers = 0
  #isClosed = false
  #isOver = false
  /** Somebody brings it. */
  isComing = false

  constructor({ path, file, size }: Opened, id: DataId, list: Uint8Array) {
    this.path = path
    this.id = id
    this.list = list
    this.closed = this.#close.promise
    this.#file = file
    this.#oldSize = size
    this.#has = new Uint8Array(chunksIn(id))
  }

  *missing(): Generator<number> {
    for (let index = 0; index < this.#has.length; index++) if (this.#has[index] === 0) yield index
  }

  /** The bytes were checked. */
  async write(index: number, bytes: Uint8Array): Promise<void> {
    await writeAll(this.#file, bytes, index * chunkBytes)
    this.#has[index] = 1
    this.#waiting.get(index)?.resolve()
    this.#waiting.delete(index)
  }

  /** For those who pass it on as it comes. */
  chunks(): Chunks {
    this.#readers++
    let isClosed = false
    return {
      id: this.id,
      list: this.list,
      read: (index) => this.#read(index),
      place: (index) => this.#place(index),
      free: giveMemory,
      close: async () => {
        if (isClosed) return
        isClosed = true
        this.#readers--
        await this.#closeIfUnused()
      }
    }
  }

  /** All chunks are there. */
  async end(isSynced: boolean): Promise<void> {
    const { size } = dataName(this.id)
    if (this.#oldSize > size) await this.#file.truncate(size)
    if (isSynced) await this.#file.datasync()
  }

  arrived(): void {
    this.isComing = false
    void this.close()
  }

  fail(reason: unknown): void {
    this.isComing = false
    for (const { reject } of this.#waiting.values()) reject(reason)
    this.#waiting.clear()
  }

  /** Once nobody reads it any more. */
  async close(): Promise<void> {
    this.#isOver = true
    await this.#closeIfUnused()
  }

  async #closeIfUnused(): Promise<void> {
    if (!this.#isOver || this.#readers > 0 || this.#isClosed) return
    this.#isClosed = true
    await closeWell(this.#file)
    this.#close.resolve()
  }

  async #read(index: number): Promise<Uint8Array> {
    await this.#until(index)
    return await readChunk(this.#file, this.id, index)
  }

  async #place(index: number): Promise<Place> {
    await this.#until(index)
    return { path: resolve(this.path), offset: index * chunkBytes }
  }

  async #until(index: number): Promise<void> {
    if (this.#has[index] === 0) {
      if (!this.isComing) throw new Error('it comes no further')
      const waiting = this.#waiting.get(index) ?? Promise.withResolvers<void>()
      this.#waiting.set(index, waiting)
      await waiting.promise
    }
  }
}

export async function writeAll(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let at = 0; at < bytes.byteLength; )
    at += (await file.write(bytes, at, bytes.byteLength - at, offset + at)).bytesWritten
}

/** Of a file that was synced, or only read: whatever is said of its end, its bytes are what they are. */
export const closeWell = (file: FileHandle): Promise<void> => file.close().catch(() => {})
