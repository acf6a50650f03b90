/**
 * Memory of chunks on their way between streams and files, used again for the next ones.
 *
 * Not here: chunks that somebody keeps, which are never given back.
 * A piece of this size is fresh from the system each time: its pages cost more than all that is done with its bytes, and they
 * lie outside of the heap, so the garbage collector lets many of them come together before it looks.
 */
import { assert } from '../machine.ts'
import { discard } from './spent.ts'

export const chunkBytes = 1 << 20
/** Pieces that wait to be used again; what comes beyond is given back to the system. */
const sparesMax = 8

const spares: Uint8Array[] = []

/** Memory with anything in it. */
export const takeMemory = (length: number): Uint8Array =>
  (length === chunkBytes ? spares.pop() : undefined) ?? Buffer.allocUnsafe(length)

/** Nobody uses these bytes any more; whoever has them still would see others. */
export function giveMemory(bytes: Uint8Array): void {
  if (bytes.byteLength !== chunkBytes || bytes.buffer.byteLength !== chunkBytes) return
  assert(!spares.includes(bytes), 'memory was given back twice')
  if (spares.length < sparesMax) spares.push(bytes)
  else discard(bytes)
}
