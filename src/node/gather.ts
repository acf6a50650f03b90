/**
 * Everything that a connection has to send in one turn, written to its socket at once.
 *
 * Not here: encryption itself. What leaves it is a length, a text and a seal for every header and every body; libp2p writes
 * each piece by itself, and with TCP_NODELAY each becomes a packet that wakes the reader.
 * Like a letter carrier who waits at the door until the whole pile is sealed: one walk instead of five.
 */
import type { ConnectionEncrypter, MessageStream, SecuredConnection } from '@libp2p/interface'

/** More is written at once, so that the socket is kept busy. */
const gatherBytesMax = 256 * 1024

type Encrypter<C> = (components: C) => ConnectionEncrypter

/** The same encryption, over connections that gather what they send. */
export function gathered<C>(encrypter: Encrypter<C>): Encrypter<C> {
  return (components) => {
    const inner = encrypter(components)
    const secured = async (
      connection: MessageStream,
      secure: Promise<SecuredConnection>
    ): Promise<SecuredConnection> => {
      // The handshake goes back and forth, and has nothing to gather.
      const result = await secure
      gather(connection)
      return result
    }
    const { protocol } = inner
    return Object.assign(Object.create(inner) as ConnectionEncrypter, {
      protocol,
      secureInbound: (...args: Parameters<ConnectionEncrypter['secureInbound']>) =>
        secured(args[0], inner.secureInbound(...args)),
      secureOutbound: (...args: Parameters<ConnectionEncrypter['secureOutbound']>) =>
        secured(args[0], inner.secureOutbound(...args))
    })
  }
}

function gather(connection: MessageStream): void {
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
