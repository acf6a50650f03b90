/**
 * Opens a stream's window again by halves, as other implementations of yamux do.
 *
 * Not here: back-pressure; a paused stream still opens nothing. js-libp2p answers every single data frame with a window
 * update: a packet, a wake-up and a seal of its own for each frame, which for small messages is half of all their cost.
 */
import type { Stream } from '@libp2p/interface'

/** What @libp2p/yamux's streams are made of; checked before it is touched, and left alone if it is anything else. */
interface YamuxStream {
  /** Bytes that the other end may still send, of `recvWindow`. */
  readonly recvWindowCapacity: number
  readonly recvWindow: number
  sendWindowUpdate(): void
}

function isYamux(stream: object): stream is YamuxStream {
  const { recvWindowCapacity, recvWindow, sendWindowUpdate } = stream as Partial<YamuxStream>
  const areNumbers = typeof recvWindowCapacity === 'number' && typeof recvWindow === 'number'
  return areNumbers && typeof sendWindowUpdate === 'function'
}

/** Without effect on streams of another muxer. */
export function updateWindowByHalves(stream: Stream): void {
  const yamux: object = stream
  if (!isYamux(yamux)) return
  const update = yamux.sendWindowUpdate.bind(yamux)
  let isEstablished = false
  yamux.sendWindowUpdate = () => {
    // The first update carries the flags that establish the stream.
    if (isEstablished && yamux.recvWindowCapacity * 2 > yamux.recvWindow) return
    isEstablished = true
    update()
  }
}
