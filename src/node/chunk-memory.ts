/**
 * Memory of chunks on their way between streams and files, used again for the next ones.
 *
 * Not here: chunks that somebody keeps, which are never given back.
 * A piece of this size is fresh from the system each time: its pages cost more than all that is done with its bytes, and they
 * lie outside of the heap, so the garbage collector lets many of them come together before it looks.
 */
import { assert } from '../machine.ts'
import { discardMemory } from '../spent.ts'

/** A value of a MiB has some bytes more as it travels, and is to be one chunk. */
export const chunkBytes = 17 * 65_536
/** What is smaller is not worth a whole piece. */
const worthBytes = 15 * 65_536
/** Pieces that wait to be used again; what comes beyond is given back to the system. */
const sparesMax = 8

const spares: ArrayBuffer[] = []

/** Memory with anything in it. */
export function takeMemory(length: number): Uint8Array {
  if (length < worthBytes || length > chunkBytes) return Buffer.allocUnsafe(length)
  return Buffer.from(spares.pop() ?? new ArrayBuffer(chunkBytes), 0, length)
}

/** Nobody uses these bytes any more; whoever has them still would see others. */
export function giveMemory({ buffer, byteOffset, byteLength }: Uint8Array): void {
  if (!(buffer instanceof ArrayBuffer) || buffer.byteLength !== chunkBytes) return
  if (byteOffset > 0 || byteLength < worthBytes) return
  assert(!spares.includes(buffer), 'memory was given back twice')
  if (spares.length < sparesMax) spares.push(buffer)
  else discardMemory(buffer)
}
