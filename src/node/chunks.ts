/**
 * How data is cut and named: chunks of 1,088 KiB, each with its hash; the name is the hash of the list of hashes, and the size.
 *
 * Not here: files (datafiles.ts), and transfers (courier.ts).
 * So every chunk can be checked by itself, whoever it comes from, and a broken transfer goes on with the next chunk.
 */
import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ShoalError } from '../errors.ts'
import { type DataId, dataId, dataName } from '../ids.ts'
import { chunkBytes, giveMemory, takeMemory } from '../spent.ts'
import type { Place } from './near.ts'

export { chunkBytes }
/** Bytes of one piece of data; more is refused with SHOAL_BAD_VALUE. */
export const dataBytesMax = 64 * 2 ** 30
export const hashBytes = 32
export const chunksMax = Math.ceil(dataBytesMax / chunkBytes)

export const hashOf = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest()

/** Data of no bytes is one chunk too. */
export const chunksIn = (id: DataId): number => Math.max(1, Math.ceil(dataName(id).size / chunkBytes))

export const chunkLength = (id: DataId, index: number): number =>
  Math.min(chunkBytes, dataName(id).size - index * chunkBytes)

/** What is one chunk is named by its own hash, as everybody would. */
export function nameOf(list: Uint8Array, size: number): DataId {
  const hash = list.byteLength === hashBytes ? Buffer.from(list) : hashOf(list)
  return dataId(hash.toString('base64url'), size)
}

/** The list of what is one chunk. */
export const soleList = (id: DataId): Uint8Array => Buffer.from(dataName(id).hash, 'base64url')

export function isListOf(list: Uint8Array, id: DataId): boolean {
  return list.byteLength === chunksIn(id) * hashBytes && nameOf(list, dataName(id).size) === id
}

export function isChunk(bytes: Uint8Array, list: Uint8Array, id: DataId, index: number): boolean {
  if (bytes.byteLength !== chunkLength(id, index)) return false
  return hashOf(bytes).equals(list.subarray(index * hashBytes, (index + 1) * hashBytes))
}

/** Gathers hashes of chunks into a list. */
export class Lister {
  readonly #hashes: Buffer[] = []
  size = 0

  add(chunk: Uint8Array): void {
    this.size += chunk.byteLength
    if (this.size > dataBytesMax) {
      const advice = 'put it in parts'
      throw new ShoalError('SHOAL_BAD_VALUE', `data may have ${dataBytesMax} bytes, this has more; ${advice}`)
    }
    this.#hashes.push(hashOf(chunk))
  }

  end(): { id: DataId; list: Uint8Array } {
    if (this.#hashes.length === 0) this.add(new Uint8Array(0))
    const list = Buffer.concat(this.#hashes)
    return { id: nameOf(list, this.size), list }
  }
}

/** Of any size, each valid until the next is asked for. */
export type Pieces = Iterable<Uint8Array> | AsyncIterable<Uint8Array>

/** Pieces as chunks, each valid until the next is asked for, too. */
export async function* inChunks(pieces: Pieces): AsyncGenerator<Uint8Array> {
  let chunk: Uint8Array | undefined
  let have = 0
  try {
    for await (const piece of pieces) {
      for (let at = 0; at < piece.byteLength; ) {
        const part = piece.subarray(at, at + chunkBytes - have)
        at += part.byteLength
        // Whole as it is: nothing to copy.
        if (part.byteLength === chunkBytes) {
          yield part
          continue
        }
        chunk ??= takeMemory(chunkBytes)
        chunk.set(part, have)
        have += part.byteLength
        if (have < chunkBytes) continue
        yield chunk
        have = 0
      }
    }
    if (chunk !== undefined && have > 0) yield chunk.subarray(0, have)
  } finally {
    if (chunk !== undefined) giveMemory(chunk)
  }
}

/** The bytes of a file, a chunk at a time, each valid until the next is asked for. */
export async function* piecesOfFile(path: string | URL): AsyncGenerator<Uint8Array> {
  const file = await open(path, 'r')
  try {
    yield* piecesOf(file)
  } finally {
    await file.close()
  }
}

async function* piecesOf(file: FileHandle): AsyncGenerator<Uint8Array> {
  const memory = takeMemory(chunkBytes)
  try {
    for (;;) {
      const { bytesRead } = await file.read(memory)
      if (bytesRead === 0) return
      yield memory.subarray(0, bytesRead)
    }
  } finally {
    giveMemory(memory)
  }
}

/** What gives the chunks of some data, from wherever they are. */
export interface Chunks {
  readonly id: DataId
  readonly list: Uint8Array
  read(index: number): Promise<Uint8Array>
  /** Where it lies in a file, once it does. Not there, or undefined, if it has to be sent. */
  readonly place?: (index: number) => Promise<Place | undefined>
  /** Nobody uses what `read` gave any more. Not there if others have it, too. */
  readonly free?: (bytes: Uint8Array) => void
  close(): Promise<void>
}

/** The same; `moved` hears of each chunk that is wanted, and `unread` of one that cannot be read. */
export function watched(chunks: Chunks, moved: () => void, unread = async (): Promise<void> => {}): Chunks {
  const read = async (index: number): Promise<Uint8Array> => {
    moved()
    return await chunks.read(index).catch(async (error: unknown) => {
      await unread()
      throw error
    })
  }
  const place = async (index: number): Promise<Place | undefined> => {
    moved()
    return await chunks.place?.(index)
  }
  return { ...chunks, read, place }
}

export function chunksOfBytes(bytes: Uint8Array): Chunks {
  const lister = new Lister()
  for (let at = 0; at < bytes.byteLength; at += chunkBytes) lister.add(bytes.subarray(at, at + chunkBytes))
  const { id, list } = lister.end()
  return {
    id,
    list,
    read: async (index) => bytes.subarray(index * chunkBytes, (index + 1) * chunkBytes),
    close: async () => {}
  }
}

/** Reads the file once for its hashes, unless the signal aborts; its chunks are read again when they are wanted. */
export async function chunksOfFile(path: string | URL, signal?: AbortSignal): Promise<Chunks> {
  const file = await open(path, 'r')
  const lies = path instanceof URL ? fileURLToPath(path) : resolve(path)
  try {
    const before = await file.stat()
    const lister = new Lister()
    for await (const chunk of inChunks(piecesOf(file))) {
      signal?.throwIfAborted()
      lister.add(chunk)
    }
    const { id, list } = lister.end()
    return {
      id,
      list,
      read: async (index) => {
        const bytes = await readChunk(file, id, index).catch((cause: unknown) => {
          throw cause instanceof ShoalError ? changed(path, cause) : cause
        })
        const { mtimeMs, size } = await file.stat()
        const isTouched = mtimeMs !== before.mtimeMs || size !== before.size
        if (isTouched && !isChunk(bytes, list, id, index)) throw changed(path)
        return bytes
      },
      place: async (index) => ({ path: lies, offset: index * chunkBytes }),
      free: giveMemory,
      close: () => file.close()
    }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Said here, since who receives such a chunk can only take it for damaged on its way, and asks again. */
function changed(path: string | URL, cause?: unknown): ShoalError {
  const message = `the file "${String(path)}" was changed while it was put; put it again when nobody writes to it`
  return new ShoalError('SHOAL_DISK', message, { cause })
}

/** In memory that may be given back (spent.ts). */
export async function readChunk(file: FileHandle, id: DataId, index: number): Promise<Uint8Array> {
  const bytes = takeMemory(chunkLength(id, index))
  let at = 0
  while (at < bytes.byteLength) {
    const { bytesRead } = await file.read(bytes, at, bytes.byteLength - at, index * chunkBytes + at)
    if (bytesRead === 0) throw new ShoalError('SHOAL_DISK', `data ${id} is shorter than it was`)
    at += bytesRead
  }
  return bytes
}
