/**
 * Everything that a connection has to send in one turn, written to its socket at once.
 *
 * Not here: encryption (noise.ts). What leaves it is a length, a text and a seal for every header and every body; libp2p writes
 * each piece by itself, and with TCP_NODELAY each becomes a packet that wakes the reader.
 * Like a letter carrier who waits at the door until the whole pile is sealed: one walk instead of five.
 */
import type { MessageStream } from '@libp2p/interface'
import { discard } from '../spent.ts'

/** More is written at once, so that the socket is kept busy. */
const gatherBytesMax = 256 * 1024
/** Less takes memory from a common pool. */
const largeBytesMin = 16 * 1024
const memoryBytes = 2 * gatherBytesMax

/** For what is written at once; none while a socket has still to send what lies there. */
let spare: Uint8Array | undefined

/** What libp2p's TCP connections are made of; another connection keeps the memory that it was given. */
interface OnSocket {
  readonly socket?: { readonly writableLength?: number }
}

/** True if all that it was given to send lies with the system now. */
const isSent = (connection: MessageStream): boolean =>
  connection.writeBufferLength === 0 && (connection as OnSocket).socket?.writableLength === 0

/**
 * From now on, what `connection` is given to send leaves at the end of the turn. Pieces that are all that lies in their memory
 * are its own: nobody may use them afterwards.
 */
export function gather(connection: MessageStream): void {
  const send = connection.send.bind(connection)
  const close = connection.close.bind(connection)
  let pieces: Uint8Array[] = []
  let bytes = 0
  const flush = (): void => {
    if (pieces.length === 0) return
    const parts = pieces
    const isLarge = bytes >= largeBytesMin && bytes <= memoryBytes
    const all = isLarge ? joined(parts, bytes) : Buffer.concat(parts, bytes)
    pieces = []
    bytes = 0
    if (connection.status !== 'open') return
    try {
      send(all)
    } catch (error) {
      connection.abort(error instanceof Error ? error : new Error(String(error)))
    }
    if (isLarge && isSent(connection)) spare = new Uint8Array(all.buffer)
  }
  connection.send = (data) => {
    if (pieces.length === 0) queueMicrotask(flush)
    for (const piece of data instanceof Uint8Array ? [data] : data) pieces.push(piece)
    bytes += data.byteLength
    if (bytes >= gatherBytesMax) flush()
    return !connection.writableNeedsDrain
  }
  connection.close = (options) => {
    flush()
    return close(options)
  }
}

function joined(parts: readonly Uint8Array[], bytes: number): Uint8Array {
  const memory = spare ?? Buffer.allocUnsafeSlow(memoryBytes)
  spare = undefined
  let at = 0
  for (const part of parts) {
    memory.set(part, at)
    at += part.byteLength
    discard(part)
  }
  return memory.subarray(0, bytes)
}
