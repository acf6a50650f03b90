/**
 * Memory of bytes that went through a node or an engine, given back at once.
 *
 * Not here: memory that is used again for other bytes (node/chunk-memory.ts).
 * The garbage collector would free it too, but it counts such memory: for some ten MB of it it looks through the whole heap,
 * which took half of the time of a node that moved data. And memory that was freed a moment ago is the fastest to have again.
 */

/** What is smaller is not worth the call. */
export const worthBytes = 4 * 1024

/** Nobody uses these bytes any more; whoever reads them still finds nothing there. Others' memory that they lie in stays. */
export function discard(bytes: Uint8Array): void {
  if (bytes.byteLength >= worthBytes && areAlone(bytes)) discardMemory(bytes.buffer)
}

/** True if the bytes are all that lies in their memory. */
export const areAlone = (bytes: Uint8Array): boolean => bytes.byteLength === bytes.buffer.byteLength

export function discardMemory(memory: ArrayBufferLike): void {
  if (memory instanceof ArrayBuffer) memory.transfer(0)
}
