/**
 * Frames on a libp2p stream: length and bytes, written in batches, read without copies, bounded both ways.
 *
 * Not here: who may open a stream (admission.ts), what a frame means (wire.ts).
 * Frames of one event-loop turn leave in one parcel, since a parcel costs twenty times what a frame does.
 */
import type { Stream } from '@libp2p/interface'
import { discard, takeMemory } from '../spent.ts'
import { chunkBytes } from './chunks.ts'
import { updateWindowByHalves } from './window.ts'

/** Bytes of one frame; a longer one aborts the stream, on both sides. */
export const frameBytesMax = 32 * 1024 * 1024
/** Bytes waiting to leave; one more frame aborts the stream: a peer that reads too slowly counts as lost. */
export const outQueueBytesMax = 96 * 1024 * 1024
/** Bytes handed to libp2p that it has not sent; the rest waits here, where it is counted. */
const writeAheadMax = 256 * 1024
/** Frames up to this size are copied into a common parcel; larger ones go as they are. */
const smallFrameMax = 16 * 1024
/** Bytes of one send; larger frames are cut. */
const parcelBytesMax = 256 * 1024
/** How long an orderly close waits for what is queued. */
const closeMs = 1_000
const headerBytes = 4

/** Named counts of a transport, for `status`. */
export class Counters {
  private readonly counts: Record<string, number> = {}

  add(name: string, by = 1): void {
    this.counts[name] = (this.counts[name] ?? 0) + by
  }

  read(): Readonly<Record<string, number>> {
    return { ...this.counts }
  }
}

export interface FrameStreamOptions {
  readonly counters: Counters
  /** Called synchronously, in order. The frame may be part of a larger buffer: keep a copy if you keep it for long. */
  readonly onFrame: (frame: Uint8Array) => void
  /** Once, after the last frame; never from within a call of yours. */
  readonly onEnd: (reason: string) => void
}

export class FrameStream {
  private readonly stream: Stream
  private readonly options: FrameStreamOptions
  private readonly counters: Counters

  private queue: Uint8Array[] = []
  private queueBytes = 0
  private flushing = false
  private waiters: (() => void)[] = []

  private readonly header = new Uint8Array(headerBytes)
  private headerHave = 0
  /** Length of the frame whose body is being gathered. */
  private bodyLength = 0
  /** What there is of it, or the memory in which it is put together. */
  private body: Uint8Array[] = []
  private bodyHave = 0
  private held: Uint8Array[] = []
  private paused = false
  private resuming = false
  private remoteDone = false
  private over = false

  constructor(stream: Stream, options: FrameStreamOptions) {
    this.stream = stream
    this.options = options
    this.counters = options.counters
    updateWindowByHalves(stream)
    stream.addEventListener('message', (event) => {
      if (event.data instanceof Uint8Array) this.receive(event.data)
      else for (const chunk of event.data) this.receive(chunk)
      // Answers leave before a window update that yamux may send after this event.
      if (this.flushing) this.flush()
    })
    // The `drain` event, not onDrain(): that resolves for ever after its first use. `idle` covers a buffer that
    // emptied without ever having been full. Both may come from within libp2p's send loop, hence the microtask.
    stream.addEventListener('drain', () => this.scheduleFlush())
    stream.addEventListener('idle', () => this.scheduleFlush())
    stream.addEventListener('end', () => this.remoteEnded())
    stream.addEventListener('close', (event) => this.finish(event.error?.message ?? 'closed'))
    if (stream.status !== 'open') queueMicrotask(() => this.finish('closed'))
  }

  get ended(): boolean {
    return this.over
  }

  /** Bytes that have not been handed to the network. */
  get queuedBytes(): number {
    return this.over ? 0 : this.queueBytes + this.stream.writeBufferLength
  }

  /** Takes the frame; do not change its bytes afterwards. Dropped if the stream is over. */
  write(frame: Uint8Array): void {
    if (this.over) return
    if (frame.length > frameBytesMax) {
      this.counters.add('frames-too-large')
      this.abort(`a frame of ${frame.length} bytes exceeds ${frameBytesMax}`)
      return
    }
    if (this.queuedBytes + headerBytes + frame.length > outQueueBytesMax) {
      this.counters.add('queues-overflowed')
      this.abort(`more than ${outQueueBytesMax} bytes wait to be read by the other side`)
      return
    }
    this.queue.push(frame)
    this.queueBytes += headerBytes + frame.length
    this.counters.add('frames-out')
    this.counters.add('bytes-out', headerBytes + frame.length)
    this.scheduleFlush()
  }

  /** Resolves when everything was handed to the network, or the stream is over. */
  drained(): Promise<void> {
    if (this.queuedBytes === 0) return Promise.resolve()
    return new Promise((resolve) => this.waiters.push(resolve))
  }

  /** No frames are delivered until `resume`; the sender is held back by the stream's window. */
  pause(): void {
    if (this.paused || this.over) return
    this.paused = true
    // During resume() libp2p would open the window again right after; so that is done there.
    if (!this.resuming && this.stream.readStatus === 'readable') this.stream.pause()
  }

  resume(): void {
    if (!this.paused || this.over) return
    this.paused = false
    this.drainHeld()
    if (this.paused || this.over || this.resuming) return
    this.resuming = true
    if (this.stream.readStatus === 'paused') this.stream.resume()
    this.resuming = false
    if (this.paused && !this.over && this.stream.readStatus === 'readable') this.stream.pause()
    else this.drainHeld()
  }

  /** Ends the stream at once; what is queued is lost. */
  abort(reason: string): void {
    if (this.over) return
    this.end(reason, true)
    this.stream.abort(new Error(reason))
  }

  /** Sends what is queued, then ends the stream. */
  async close(): Promise<void> {
    if (this.over) return
    const signal = AbortSignal.timeout(closeMs)
    const late = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    await Promise.race([this.drained(), late])
    this.end('closed', true)
    await this.stream.close({ signal }).catch((error: Error) => this.stream.abort(error))
  }

  private scheduleFlush(): void {
    if (this.flushing || this.over || (this.queue.length === 0 && this.waiters.length === 0)) return
    this.flushing = true
    queueMicrotask(() => {
      this.flushing = false
      this.flush()
    })
  }

  private flush(): void {
    try {
      while (this.queue.length > 0 && !this.over) {
        if (this.stream.writableNeedsDrain || this.stream.writeBufferLength >= writeAheadMax) return
        for (const parcel of this.takeParcel()) this.stream.send(parcel)
      }
    } catch (error) {
      // The stream closed between its event and this send.
      this.finish(error instanceof Error ? error.message : String(error))
    }
    if (this.queuedBytes === 0) this.releaseWaiters()
  }

  /** The next frames as few pieces: small ones joined, a large one in slices behind its header. */
  private takeParcel(): Uint8Array[] {
    let count = 0
    let bytes = 0
    for (const frame of this.queue) {
      if (bytes + frame.length + headerBytes > parcelBytesMax || frame.length > smallFrameMax) break
      bytes += headerBytes + frame.length
      count++
    }
    const large = count === 0 ? this.queue[0] : undefined
    const parcel = new Uint8Array(large ? headerBytes : bytes)
    let at = 0
    for (const frame of this.queue.splice(0, Math.max(count, 1))) {
      writeLength(parcel, at, frame.length)
      at += headerBytes
      if (frame === large) break
      parcel.set(frame, at)
      at += frame.length
    }
    this.queueBytes -= large ? headerBytes + large.length : bytes
    if (!large) return [parcel]
    const pieces: Uint8Array[] = [parcel]
    for (let from = 0; from < large.length; from += parcelBytesMax)
      pieces.push(large.subarray(from, from + parcelBytesMax))
    return pieces
  }

  private receive(chunk: Uint8Array): void {
    if (this.over) return
    this.counters.add('bytes-in', chunk.length)
    if (this.paused || this.held.length > 0) this.held.push(chunk)
    else this.parse(chunk)
  }

  private drainHeld(): void {
    while (!this.paused && !this.over) {
      const chunk = this.held.shift()
      if (chunk === undefined) break
      this.parse(chunk)
    }
    if (this.remoteDone && this.held.length === 0 && !this.over) this.remoteEnded()
  }

  private parse(chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length && !this.over) {
      if (this.paused) {
        this.held.unshift(chunk.subarray(at))
        return
      }
      at = this.headerHave < headerBytes ? this.takeHeader(chunk, at) : this.takeBody(chunk, at)
    }
  }

  private takeHeader(chunk: Uint8Array, from: number): number {
    let at = from
    while (this.headerHave < headerBytes && at < chunk.length)
      this.header[this.headerHave++] = chunk[at++] ?? 0
    if (this.headerHave < headerBytes) return at
    this.bodyLength = readLength(this.header)
    if (this.bodyLength > frameBytesMax) {
      this.counters.add('frames-too-large')
      this.abort(`announced a frame of ${this.bodyLength} bytes; ${frameBytesMax} are allowed`)
    } else if (this.bodyLength === 0) this.deliver(new Uint8Array(0))
    return at
  }

  private takeBody(chunk: Uint8Array, from: number): number {
    const end = Math.min(chunk.length, from + this.bodyLength - this.bodyHave)
    const piece = chunk.subarray(from, end)
    // A frame within one chunk is handed out as it lies; only the others are put together.
    if (piece.length === this.bodyLength) this.deliver(piece)
    else if (this.bodyLength <= chunkBytes) {
      this.takePart(piece)
      // A copy was made of all that lay there: no other frame has a part of it.
      discard(piece)
    } else {
      // As much memory as was announced is only taken for what has come.
      this.body.push(piece)
      this.bodyHave += piece.length
      if (this.bodyHave === this.bodyLength) this.deliver(Buffer.concat(this.body, this.bodyLength))
    }
    return end
  }

  private takePart(piece: Uint8Array): void {
    const whole = this.body[0] ?? takeMemory(this.bodyLength)
    this.body[0] = whole
    whole.set(piece, this.bodyHave)
    this.bodyHave += piece.length
    if (this.bodyHave === this.bodyLength) this.deliver(whole)
  }

  private deliver(frame: Uint8Array): void {
    this.headerHave = 0
    this.bodyHave = 0
    this.body = []
    this.counters.add('frames-in')
    this.options.onFrame(frame)
  }

  /** The remote end said that nothing follows. Frames that are held are still delivered. */
  private remoteEnded(): void {
    this.remoteDone = true
    if (this.over || this.held.length > 0) return
    const cut = this.headerHave > 0
    if (cut) this.counters.add('frames-cut-off')
    this.end(cut ? 'closed in the middle of a frame' : 'closed by the other side', false)
    this.stream
      .close({ signal: AbortSignal.timeout(closeMs) })
      .catch((error: Error) => this.stream.abort(error))
  }

  private finish(reason: string): void {
    if (!this.over) this.end(reason, false)
  }

  /** `local`: caused by a call from above, which must not be answered from within itself. */
  private end(reason: string, local: boolean): void {
    this.over = true
    this.queue = []
    this.queueBytes = 0
    this.held = []
    this.body = []
    this.releaseWaiters()
    if (local) queueMicrotask(() => this.options.onEnd(reason))
    else this.options.onEnd(reason)
  }

  private releaseWaiters(): void {
    for (const resolve of this.waiters.splice(0)) resolve()
  }
}

function writeLength(bytes: Uint8Array, at: number, length: number): void {
  bytes[at] = length & 0xff
  bytes[at + 1] = (length >>> 8) & 0xff
  bytes[at + 2] = (length >>> 16) & 0xff
  bytes[at + 3] = length >>> 24
}

function readLength([a = 0, b = 0, c = 0, d = 0]: Uint8Array): number {
  return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0
}
