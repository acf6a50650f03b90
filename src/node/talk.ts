/**
 * A conversation about data on a stream of its own: small messages, and chunks behind the messages that announce them.
 *
 * Not here: who says what when (courier.ts), and the frames (stream.ts). Reading is by asking for the next frame; how many may
 * come before is agreed by credit, so that what a slow reader has not read lies with the sender.
 */
import { elsewhereMax } from '../data/crowd.ts'
import { explainError, ShoalError } from '../errors.ts'
import { isDataId, isPeerId } from '../ids.ts'
import { added, bytes, codec, flag, list, type MessageOf, text, uint } from '../wire.ts'
import { chunksMax, hashBytes } from './chunks.ts'
import type { Nearness, Place } from './near.ts'
import type { Counters, FrameStream, FrameStreamOptions } from './stream.ts'

export const DATA_PROTOCOL = '/shoal/data/1.0.0'
/** Transfers of one connection at a time; the next one fails, and its opener goes elsewhere or tries again. */
export const dataStreamsMax = 128
/** Frames that nobody asked for yet; with more, the other side ignores its credit. */
const unreadMax = 64
/** Bytes of such frames: what credit allows, and the largest list. With more the stream is aborted, too. */
const unreadBytesMax = 16 * 1024 * 1024
/** Bytes handed to the network that it has not sent; then the next chunk is not even read. */
const writeAheadMax = 2 * 1024 * 1024

/** Characters of a path; what lies deeper is sent. */
export const pathMax = 1_024

const id = text(64, isDataId)
const kinds = {
  /** I want it. `isBrief`: what is one chunk is sent at once, without its list; `near` is as in `want`. */
  ask: { id, isBrief: added(flag, false), near: added(uint(1), 0) },
  /**
   * I have it, and it is to be kept in `copies` copies for `pinMs`; 0 = as usual. `path`: if not empty, its only chunk lies
   * there.
   */
  offer: {
    id,
    copies: uint(15),
    pinMs: uint(),
    isForJob: added(flag, false),
    path: added(text(pathMax), ''),
    offset: added(uint(), 0)
  },
  /** The hashes of its chunks. */
  list: { hashes: bytes(chunksMax * hashBytes) },
  /** Not here, or not now. `at`: who has it. `isNowhere`: looked for long enough, with every node that could have it. */
  absent: {
    reason: text(400),
    at: added(list(text(128, isPeerId), elsewhereMax), []),
    isNowhere: added(flag, false)
  },
  /** Credit for one chunk. `taken`: so many of this stream are done with. `near`: 1 = a file of the other side would do. */
  want: { index: uint(chunksMax), taken: added(uint(), 0), near: added(uint(1), 0) },
  /** The next frame is this chunk. */
  chunk: { index: uint(chunksMax) },
  /** This chunk lies there; only to who said `near`. */
  place: { index: uint(chunksMax), path: text(pathMax), offset: uint() },
  /** The chunk was not what the list says. */
  damaged: { index: uint(chunksMax) },
  /** So many nodes have it on disk; of who asked for it: it is on its own. */
  kept: { copies: uint(15) },
  refused: { code: text(32), message: text(1_024) },
  free: { ids: list(id, 512) },
  freed: {}
} as const

const words = codec(kinds)
export const dataWords = words
export type Word = MessageOf<typeof kinds>
export type WordOf<K extends Word['kind']> = Extract<Word, { kind: K }>

/** Opens a stream whose frames and end go to these. */
export type OpenStream = (handlers: Pick<FrameStreamOptions, 'onFrame' | 'onEnd'>) => Promise<FrameStream>

export interface TalkOptions {
  readonly counters: Counters
  readonly nearness: Nearness
  /** It may be used for another transfer. False if it is not to be. */
  readonly onRest?: (talk: Talk) => boolean
}

export class Talk {
  #stream: FrameStream | undefined
  #frames: Uint8Array[] = []
  #unreadBytes = 0
  #reader: PromiseWithResolvers<Uint8Array> | undefined
  #end: Error | undefined
  #saidAt = performance.now()
  readonly #whenOver = new Set<() => void>()
  readonly #counters: Counters
  /** Of the other side. */
  readonly nearness: Nearness
  readonly #onRest: (talk: Talk) => boolean

  private constructor({ counters, nearness, onRest = () => false }: TalkOptions) {
    this.#counters = counters
    this.nearness = nearness
    this.#onRest = onRest
  }

  static async open(options: TalkOptions, openStream: OpenStream): Promise<Talk> {
    const talk = new Talk(options)
    talk.#stream = await openStream({
      onFrame: (frame) => talk.#received(frame),
      onEnd: (reason) => talk.#ended(new Error(reason))
    })
    return talk
  }

  /** Nothing that is said is heard any more. */
  get isOver(): boolean {
    return this.#end !== undefined
  }

  /** It goes on, and all that was said was heard. */
  get isQuiet(): boolean {
    return !this.isOver && this.#frames.length === 0
  }

  /** For so long nothing was said from here. */
  get silentMs(): number {
    return performance.now() - this.#saidAt
  }

  /** Calls it once this is over; at once if it is, and not after what is returned was called. */
  whenOver(act: () => void): () => void {
    if (this.isOver) act()
    else this.#whenOver.add(act)
    return () => void this.#whenOver.delete(act)
  }

  say(word: Word): void {
    this.#saidAt = performance.now()
    this.#stream?.write(words.encode(word))
  }

  /** Resolves when another one may be sent, or when none can be: what the other side said before it went is still to be read. */
  async sendChunk(index: number, chunk: Uint8Array): Promise<void> {
    if (this.isOver) return
    this.say({ kind: 'chunk', index })
    this.#stream?.write(chunk)
    this.#counters.add('data-bytes-out', chunk.byteLength)
    if ((this.#stream?.queuedBytes ?? 0) > writeAheadMax) await this.#stream?.drained()
  }

  /** Instead of sending the chunk. False if it lies too deep to say. */
  sendPlace(index: number, { path, offset }: Place, length: number): boolean {
    if (path.length > pathMax) return false
    this.say({ kind: 'place', index, path, offset })
    this.#counters.add('data-bytes-out', length)
    return true
  }

  /** The next word. Rejects if the stream ends or says nothing for so long. */
  async word(patienceMs: number): Promise<Word> {
    const frame = await this.frame(patienceMs)
    try {
      return words.parse(frame)
    } catch (error) {
      this.count('frames-malformed')
      throw error
    }
  }

  async frame(patienceMs: number): Promise<Uint8Array> {
    const next = this.#frames.shift()
    if (next !== undefined) {
      this.#unreadBytes -= next.byteLength
      return next
    }
    if (this.#end !== undefined) throw this.#end
    this.#reader = Promise.withResolvers()
    const timer = setTimeout(() => this.abort(`nothing was said for ${patienceMs} ms`), patienceMs)
    try {
      return await this.#reader.promise
    } finally {
      clearTimeout(timer)
    }
  }

  received(bytes: number): void {
    this.#counters.add('data-bytes-in', bytes)
  }

  count(name: string): void {
    this.#counters.add(name)
  }

  /** Of who opened it, once its transfer is over for both: another one may follow. */
  async rest(): Promise<void> {
    if (!this.isQuiet || !this.#onRest(this)) await this.close()
  }

  /** Sends what is queued, and ends. */
  async close(): Promise<void> {
    await this.#stream?.close()
    this.#ended(new Error('closed'))
  }

  abort(reason: string): void {
    this.#ended(new Error(reason))
    this.#stream?.abort(reason)
  }

  #received(frame: Uint8Array): void {
    if (this.#reader !== undefined) {
      this.#reader.resolve(frame)
      this.#reader = undefined
    } else if (this.#frames.length < unreadMax && this.#unreadBytes + frame.byteLength <= unreadBytesMax) {
      this.#frames.push(frame)
      this.#unreadBytes += frame.byteLength
    } else {
      this.#frames = []
      this.abort('more came than was asked for')
    }
  }

  #ended(error: Error): void {
    this.#end ??= error
    this.#reader?.reject(error)
    this.#reader = undefined
    for (const act of this.#whenOver) act()
    this.#whenOver.clear()
  }
}

export const refusal = (error: unknown): Word => ({
  kind: 'refused',
  code: error instanceof ShoalError ? error.code : 'SHOAL_DISK',
  message: (error instanceof ShoalError ? error.message : explainError(error)).slice(0, 1_024)
})
