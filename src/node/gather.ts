/**
 * Everything that a connection has to send in one turn, written to its socket at once.
 *
 * Not here: encryption (noise.ts). What leaves it is a length, a text and a seal for every header and every body; libp2p writes
 * each piece by itself, and with TCP_NODELAY each becomes a packet that wakes the reader.
 * Like a letter carrier who waits at the door until the whole pile is sealed: one walk instead of five.
 */
import type { MessageStream } from '@libp2p/interface'

/** More is written at once, so that the socket is kept busy. */
const gatherBytesMax = 256 * 1024

/** From now on, what `connection` is given to send leaves at the end of the turn. */
export function gather(connection: MessageStream): void {
  const send = connection.send.bind(connection)
  const close = connection.close.bind(connection)
  let pieces: Uint8Array[] = []
  let bytes = 0
  const flush = (): void => {
    if (pieces.length === 0) return
    const all = pieces.length === 1 ? pieces[0] : Buffer.concat(pieces, bytes)
    pieces = []
    bytes = 0
    if (all === undefined || connection.status !== 'open') return
    try {
      send(all)
    } catch (error) {
      connection.abort(error instanceof Error ? error : new Error(String(error)))
    }
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
