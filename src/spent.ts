/**
 * Memory of bytes that went through a node, a client or an engine: used again for others, or given back at once.
 *
 * Not here: chunks that somebody keeps, whose memory is never given back.
 * The garbage collector would free it too, but it counts such memory: for some ten MB of it it looks through the whole heap,
 * which took half of the time of a node that moved data. And memory that was freed a moment ago is the fastest to have again. A
 * piece of the size of a chunk is fresh from the system each time: its pages cost more than all that is done with its bytes.
 */
import { assert } from './machine.ts'

/** A value of a MiB has some bytes more as it travels, and is to be one chunk. */
export const chunkBytes = 17 * 65_536
/** What is smaller is not worth the call. */
export const worthBytes = 4 * 1024
/** What is smaller is not worth the memory of a whole chunk. */
const worthChunkBytes = 15 * 65_536
/** Pieces that wait to be used again; what comes beyond is given back to the system. */
const sparesMax = 8

const spares: ArrayBuffer[] = []

/** Memory with anything in it, which may be longer. */
export function takeMemory(length: number): Uint8Array {
  if (length < worthChunkBytes || length > chunkBytes) return Buffer.allocUnsafeSlow(length)
  return Buffer.from(spares.pop() ?? new ArrayBuffer(chunkBytes), 0, length)
}

/** Nobody uses these bytes any more; whoever has them still would see others. Does nothing if they are no chunk's. */
export function giveMemory({ buffer, byteOffset, byteLength }: Uint8Array): void {
  if (!(buffer instanceof ArrayBuffer) || buffer.byteLength !== chunkBytes) return
  if (byteOffset > 0 || byteLength < worthChunkBytes) return
  assert(!spares.includes(buffer), 'memory was given back twice')
  if (spares.length < sparesMax) spares.push(buffer)
  else discardMemory(buffer)
}

/** Nobody uses these bytes any more; whoever reads them still finds nothing there. Others' memory that they lie in stays. */
export function discard(bytes: Uint8Array): void {
  if (bytes.byteLength >= worthBytes && areAlone(bytes)) discardMemory(bytes.buffer)
}

/** What was taken for these bytes, and by whomever, is used again or free. */
export function giveUp(bytes: Uint8Array): void {
  giveMemory(bytes)
  discard(bytes)
}

/** True if the bytes are all that lies in their memory. */
export const areAlone = (bytes: Uint8Array): boolean => bytes.byteLength === bytes.buffer.byteLength

export function discardMemory(memory: ArrayBufferLike): void {
  if (memory instanceof ArrayBuffer) memory.transfer(0)
}
