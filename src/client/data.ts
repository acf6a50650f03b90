/**
 * Data in the hands of a client: puts it, gets it back, and goes on elsewhere when its entry is lost.
 *
 * Not here: one transfer (node/courier.ts), and the way to a node (node/link.ts, or the node itself in an embedded client).
 * A transfer is many chunks, each of which was received or was not; so a new entry is only asked for the others.
 */
import { randomBytes } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { closeEnvelope, idsIn, inlineBytesMax } from '../data/envelope.ts'
import { idOf, isRef, makeRef, type Ref, typeDefault } from '../data/ref.ts'
import { explainError, isErrorCode, ShoalError } from '../errors.ts'
import type { DataId } from '../ids.ts'
import { type Chunks, chunksIn, chunksOfBytes, chunksOfFile, inChunks, watched } from '../node/chunks.ts'
import { askFor, DamagedError, ElsewhereError, offer, take, thank } from '../node/courier.ts'
import { makeFolder } from '../node/folder.ts'
import type { PutPlan } from '../node/keeping.ts'
import type { Place } from '../node/near.ts'
import type { Reading } from '../node/reading.ts'
import type { Talk } from '../node/talk.ts'
import { openTemporary } from '../node/temporary.ts'
import { areAlone, giveMemory } from '../spent.ts'
import { endsOf, unlessAborted } from './abortable.ts'
import { onlyKnown, refuse, whole } from './checks.ts'
import type { Settings } from './options.ts'
import { Patience } from './patience.ts'
import { isFile, piecesOf, unread } from './pieces.ts'
import type { DataSource, PutOptions } from './types.ts'

const againMs = 100
const answerMs = 20_000
/** By then the job is submitted, and its records name what its inputs need. */
const inputPinMs = 3_600_000
const keepersMax = 15
/** What is smaller is sent with each task: fetching it would take longer. */
const sharedBytesMin = 1_024
const retentionMax = 0xffffffff

/** A node that is no network away. */
export interface OwnData {
  put(pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, plan: PutPlan): Promise<{ id: DataId }>
  chunks(id: DataId, isOver?: () => boolean): Promise<Reading>
  free(ids: readonly DataId[]): Promise<void> | void
}

/** How a client reaches data: in its own node, or by a stream to its entry. */
export type DataDoor =
  | { readonly own: OwnData }
  | {
      readonly talk: () => Promise<Talk>
      /** Writes a chunk where a node on this machine can read it. */
      readonly place?: (chunk: Uint8Array) => Promise<Place | undefined>
    }

export interface DataHost {
  readonly door: DataDoor
  /** Resolves when there is an entry; rejects if none is found. */
  readonly attached: () => Promise<void>
  /** Ends what is under way, and whatever comes after it. */
  readonly closing?: AbortSignal
}

interface Reach {
  readonly signal?: AbortSignal | undefined
  /** A file of the entry may be read without a word: it is needed by a job, so that nobody has to hear that it is used. */
  readonly mayLook?: boolean
}

export class ClientData {
  /** What was put for several tasks, by what they share. */
  readonly #shared = new WeakMap<object, Promise<Uint8Array>>()
  readonly #host: DataHost
  readonly #closing: AbortSignal

  constructor(host: DataHost) {
    this.#host = host
    this.#closing = host.closing ?? new AbortController().signal
  }

  async put(source: DataSource, options: PutOptions = {}): Promise<Ref> {
    onlyKnown(options, ['type', 'keepers', 'retention', 'signal'])
    const plan = planOf(options)
    const { type = typeDefault, signal } = options
    if (typeof type !== 'string' || type.length > 128) refuse('`type` is a string of at most 128 characters')
    const id = await this.keep(source, plan, signal)
    return makeRef(id, type)
  }

  /** What travels with a task instead of a value that is too large for that: its name. */
  async shrink(
    value: Uint8Array,
    { copies, signal }: Pick<Settings, 'copies' | 'signal'>
  ): Promise<Uint8Array> {
    return value.byteLength <= inlineBytesMax ? value : await this.#far(value, { copies, signal })
  }

  async #far(
    value: Uint8Array,
    { copies, signal }: Pick<Settings, 'copies' | 'signal'>
  ): Promise<Uint8Array> {
    const id = await this.keep(value, { pinMs: inputPinMs, isForJob: true, copies: copies.wanted }, signal)
    return closeEnvelope({ kind: 'far', ids: [id, ...idsIn(value)], inner: new Uint8Array(0) })
  }

  /**
   * Shrinks the arguments `of` which `sharers` tasks get: what is more than a large value for all of them together is put once.
   * Each of them asks with the same `of`.
   */
  shrinker(
    of: object,
    sharers: number,
    settings: Pick<Settings, 'copies' | 'signal'>
  ): (value: Uint8Array) => Promise<Uint8Array> {
    if (sharers === 1) return (value) => this.shrink(value, settings)
    return async (value) => {
      if (value.byteLength <= Math.max(sharedBytesMin, inlineBytesMax / sharers)) return value
      const shared = this.#shared.get(of) ?? this.#far(value, settings)
      this.#shared.set(of, shared)
      return await shared
    }
  }

  /** For files of programs: they stay until the records of their job name them. */
  putter(signal: AbortSignal | undefined): (source: DataSource) => Promise<DataId> {
    return async (source) => await this.keep(source, { pinMs: inputPinMs, isForJob: true, copies: 0 }, signal)
  }

  async get(ref: Ref, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<Uint8Array> {
    const bytes = await this.bytes(idOf(checked(ref, options)), options)
    // Users look at the memory of what they get, too.
    if (areAlone(bytes)) return new Uint8Array(bytes.buffer)
    const own = new Uint8Array(bytes)
    this.#giveBack(bytes)
    return own
  }

  /** What is made of the bytes, which are not kept. */
  async with<T>(id: DataId, make: (bytes: Uint8Array) => T): Promise<T> {
    const bytes = await this.bytes(id, { mayLook: true })
    const made = make(bytes)
    this.#giveBack(bytes)
    return made
  }

  async bytes(id: DataId, options: Reach = {}): Promise<Uint8Array> {
    let whole: Uint8Array | undefined
    let at = 0
    for await (const chunk of this.chunks(id, options)) {
      // Not left early: who sent it is to hear that it came, and is asked for the next one by the same stream.
      if (chunksIn(id) === 1) {
        whole = chunk
        continue
      }
      whole ??= new Uint8Array(Number(id.slice(44)))
      whole.set(chunk, at)
      at += chunk.byteLength
      this.#giveBack(chunk)
    }
    return whole ?? new Uint8Array(0)
  }

  stream(ref: Ref, options: { readonly signal?: AbortSignal | undefined } = {}): AsyncIterable<Uint8Array> {
    return this.chunks(idOf(checked(ref, options)), options)
  }

  /** To a file, which appears when it is whole. */
  async save(
    ref: Ref,
    path: string,
    options: { readonly signal?: AbortSignal | undefined } = {}
  ): Promise<void> {
    const unfinished = `${path}.${randomBytes(6).toString('hex')}.part`
    await makeFolder(dirname(path))
    const file = await open(unfinished, 'wx')
    try {
      for await (const chunk of this.stream(ref, options)) {
        await file.writeFile(chunk)
        this.#giveBack(chunk)
      }
      await file.close()
      await rename(unfinished, path)
    } finally {
      await file.close()
      await rm(unfinished, { force: true })
    }
  }

  /** A chunk that was copied. One of the own node may have other readers. */
  #giveBack(chunk: Uint8Array): void {
    if ('talk' in this.#host.door) giveMemory(chunk)
  }

  async free(refs: readonly Ref[]): Promise<void> {
    await this.letGo(refs.map((ref) => idOf(checked(ref))))
  }

  async letGo(ids: readonly DataId[]): Promise<void> {
    const { door } = this.#host
    this.#closing.throwIfAborted()
    if ('own' in door) return await door.own.free(ids)
    for (let at = 0; at < ids.length; at += 512) {
      await this.#insist(this.#closing, async (talk) => {
        talk.say({ kind: 'free', ids: ids.slice(at, at + 512) })
        await talk.word(answerMs)
      })
    }
  }

  async keep(source: DataSource, plan: PutPlan, asked?: AbortSignal): Promise<DataId> {
    const { signal, over } = endsOf('putting data', asked, this.#closing)
    try {
      signal.throwIfAborted()
      return await this.#keep(source, plan, signal)
    } finally {
      over()
    }
  }

  async #keep(source: DataSource, plan: PutPlan, signal: AbortSignal): Promise<DataId> {
    const { door } = this.#host
    if ('own' in door) return (await unlessAborted(door.own.put(piecesOf(source, signal), plan), signal)).id
    if (source instanceof Uint8Array)
      return await this.#offer(placed(chunksOfBytes(source), door.place), plan, signal)
    if (isFile(source)) return await this.#offerFile(source.file, plan, signal)
    // A source that can be read once only is written down first: its entry may be lost in the middle.
    const { folder, close } = await openTemporary()
    try {
      const spool = join(folder, 'spool')
      const file = await open(spool, 'wx', 0o600)
      try {
        // One after the other: a source may use the memory of a piece again once it is asked for the next.
        for await (const piece of inChunks(piecesOf(source, signal))) await file.writeFile(piece)
      } finally {
        await file.close()
      }
      return await this.#offerFile(spool, plan, signal)
    } finally {
      await close()
    }
  }

  async #offerFile(file: string | URL, plan: PutPlan, signal: AbortSignal): Promise<DataId> {
    const chunks = await chunksOfFile(file, signal).catch((cause: unknown) => {
      signal.throwIfAborted()
      throw unread(file, cause)
    })
    try {
      return await this.#offer(chunks, plan, signal)
    } finally {
      await chunks.close()
    }
  }

  async #offer(chunks: Chunks, plan: PutPlan, signal: AbortSignal): Promise<DataId> {
    const { id } = chunks
    await this.#insist(signal, async (talk, progress) => {
      const answer = await offer(talk, watched(chunks, progress), { isForJob: false, ...plan })
      if (answer.kind === 'damaged') throw new Error('it was damaged on the way, or changed meanwhile')
    })
    return id
  }

  async *chunks(
    id: DataId,
    { signal: asked, mayLook = false }: Reach = {}
  ): AsyncGenerator<Uint8Array, void> {
    const { signal, over } = endsOf(`getting data ${id}`, asked, this.#closing)
    try {
      signal.throwIfAborted()
      yield* this.#chunks(id, mayLook, signal)
    } finally {
      over()
    }
  }

  async *#chunks(id: DataId, mayLook: boolean, signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
    const { door } = this.#host
    let next = 0
    const rest = function* (): Generator<number> {
      for (let index = next; index < chunksIn(id); index++) yield index
    }
    if ('own' in door) {
      const opening = door.own.chunks(id, () => signal.aborted)
      const chunks = await unlessAborted(opening, signal, (late) => late.close())
      try {
        for (const index of rest()) {
          signal.throwIfAborted()
          yield await chunks.read(index)
        }
      } finally {
        await chunks.close()
      }
      return
    }
    const since = new Patience()
    while (next < chunksIn(id)) {
      let talk: Talk | undefined
      let isDone = false
      const stop = (): void => talk?.abort('not wanted any more')
      try {
        talk = await this.#talk(door.talk, signal)
        signal.addEventListener('abort', stop, { once: true })
        signal.throwIfAborted()
        const promised = await askFor(talk, id, { mayLook })
        for await (const { bytes } of take(talk, id, promised, rest())) {
          next++
          since.progress()
          yield bytes
          signal.throwIfAborted()
          since.progress()
        }
        thank(talk, promised)
        isDone = true
      } catch (error) {
        await this.#failed(error, since, talk, signal)
      } finally {
        signal.removeEventListener('abort', stop)
        if (isDone) await talk?.rest()
        else stop()
      }
    }
  }

  /** Tries until it is done, or nothing went on for long. */
  async #insist(
    signal: AbortSignal,
    work: (talk: Talk, progress: () => void) => Promise<void>
  ): Promise<void> {
    const { door } = this.#host
    if ('own' in door) return
    const since = new Patience()
    for (;;) {
      let talk: Talk | undefined
      const stop = (): void => talk?.abort('not wanted any more')
      try {
        talk = await this.#talk(door.talk, signal)
        signal.addEventListener('abort', stop, { once: true })
        signal.throwIfAborted()
        await work(talk, () => since.progress())
        signal.removeEventListener('abort', stop)
        return await talk.rest()
      } catch (error) {
        await this.#failed(error, since, talk, signal)
      } finally {
        signal.removeEventListener('abort', stop)
      }
    }
  }

  async #talk(open: () => Promise<Talk>, signal: AbortSignal): Promise<Talk> {
    signal.throwIfAborted()
    await unlessAborted(this.#host.attached(), signal)
    return await unlessAborted(open(), signal, (late) => late.abort('not wanted any more'))
  }

  /** Waits a little if trying again may help, else throws. */
  async #failed(error: unknown, since: Patience, talk: Talk | undefined, signal: AbortSignal): Promise<void> {
    if (error instanceof DamagedError) await talk?.close()
    talk?.abort(explainError(error))
    signal.throwIfAborted()
    if (error instanceof ShoalError && isErrorCode(error.code)) throw error
    if (since.isOver || (error instanceof ElsewhereError && error.isNowhere)) throw givenUp(error)
    await sleep(againMs)
  }
}

function placed(
  chunks: Chunks,
  place: ((chunk: Uint8Array) => Promise<Place | undefined>) | undefined
): Chunks {
  return place === undefined
    ? chunks
    : { ...chunks, place: async (index) => await place(await chunks.read(index)) }
}

function givenUp(cause: unknown): ShoalError {
  // There was somebody to ask.
  if (cause instanceof ElsewhereError)
    return new ShoalError('SHOAL_NOT_FOUND', cause.reason || `data cannot be had: ${cause.message}`, {
      cause
    })
  return new ShoalError('SHOAL_NO_MESH', `a transfer of data came no further (${explainError(cause)})`, {
    cause
  })
}

function checked(ref: Ref, options: object = {}): Ref {
  onlyKnown(options, ['signal'])
  return isRef(ref) ? ref : refuse('this is no Ref; `put` gives one')
}

function planOf({ retention, keepers }: PutOptions): PutPlan {
  if (retention !== undefined && !(retention > 0 && retention <= retentionMax))
    refuse(`\`retention\` is ${retention}; it is milliseconds, above 0 and at most ${retentionMax}`)
  if (keepers !== undefined) whole('keepers', keepers, 1, keepersMax)
  return { pinMs: Math.ceil(retention ?? 0), copies: keepers ?? 0 }
}
