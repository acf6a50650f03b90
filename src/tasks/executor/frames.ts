/**
 * Messages through a pipe between two processes: a length, then what structured clone makes of the message.
 *
 * Not here: what they say (protocol.ts). `child_process`' own channel would do the same, but what it has not sent yet dies with
 * a process; a frame that was written to a blocking pipe arrives, whatever happens to its sender then.
 */
import { writeSync } from 'node:fs'
import { deserialize, serialize } from 'node:v8'

/** The largest value and what is around it fit; more is no message of ours. */
export const frameBytesMax = 128 * 2 ** 20
const LENGTH_BYTES = 4

export function encodeFrame(message: unknown): Uint8Array {
  const body = serialize(message)
  const frame = new Uint8Array(LENGTH_BYTES + body.byteLength)
  new DataView(frame.buffer).setUint32(0, body.byteLength, true)
  frame.set(body, LENGTH_BYTES)
  return frame
}

/** Returns when all of it is in the pipe. */
export function writeFrame(fd: number, message: unknown): void {
  const frame = encodeFrame(message)
  let at = 0
  while (at < frame.byteLength) at += writeSync(fd, frame, at, frame.byteLength - at)
}

/** Puts the pieces that come out of a pipe together again. */
export class FrameReader {
  #parts: Uint8Array[] = []
  #size = 0

  /** The messages that are complete by now. Throws if these are no frames. */
  read(part: Uint8Array): unknown[] {
    this.#parts.push(part)
    this.#size += part.byteLength
    const messages: unknown[] = []
    for (let length = this.#length(); length !== undefined; length = this.#length()) {
      if (length > frameBytesMax) throw new RangeError(`a frame of ${length} bytes`)
      if (this.#size < LENGTH_BYTES + length) break
      const all = this.#joined()
      // A copy, since typed arrays in the message are windows on what it was read from.
      messages.push(deserialize(all.slice(LENGTH_BYTES, LENGTH_BYTES + length)))
      this.#parts = [all.subarray(LENGTH_BYTES + length)]
      this.#size -= LENGTH_BYTES + length
    }
    return messages
  }

  #length(): number | undefined {
    if (this.#size < LENGTH_BYTES) return undefined
    const first = this.#parts[0] as Uint8Array
    const head = first.byteLength >= LENGTH_BYTES ? first : this.#joined()
    return new DataView(head.buffer, head.byteOffset).getUint32(0, true)
  }

  #joined(): Uint8Array {
    if (this.#parts.length > 1) this.#parts = [Buffer.concat(this.#parts)]
    return this.#parts[0] as Uint8Array
  }
}
