/**
 * Data as the shell handles it: brings here what is wanted here, takes what is put, and gives it to who asks.
 *
 * Not here: who is to hold what (the core: data/), files (datafiles.ts), the talk of one transfer (courier.ts).
 * What comes from several at once comes once; a transfer that breaks goes on from the next one who has it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { DataEffect } from '../data/effects.ts'
import { idOf, makeRef, type Ref } from '../data/ref.ts'
import { explainError, ShoalError } from '../errors.ts'
import type { DataId, PeerId } from '../ids.ts'
import { giveMemory } from './chunk-memory.ts'
import { type Chunks, piecesOfFile, watched } from './chunks.ts'
import { askFor, DamagedError, ElsewhereError, give, listOf, take } from './courier.ts'
import { type DataFiles, isDisk } from './datafiles.ts'
import { Gate } from './gate.ts'
import { Keeping, type PutPlan, pinOf } from './keeping.ts'
import type { Part } from './part.ts'
import { type Reading, readSoundly } from './reading.ts'
import type { DataInput } from './stock.ts'
import { refusal, type Talk, type Word, type WordOf } from './talk.ts'
import { Turns } from './turns.ts'

/** Data that is brought here at a time; the rest waits. */
const fetchesMax = 16
/** Between two tries to get what some node should have. */
const tryAgainMs = 500
/** Somebody waits for it here: then it counts as lost. */
export const insistMs = 30_000
const firstWordMs = 20_000
/** Whoever opened a stream closes it before (talks.ts), if it is there. */
const nextWordMs = 60_000
/** How often one node is asked in the same search: another may send us back to it. */
const asksMax = 3
/** Somebody reads it through this node. */
const chunksWithinMs = 10_000

export interface DataOptions {
  readonly files: DataFiles
  readonly talkTo: (peer: PeerId) => Promise<Talk>
  /** Whom to ask, best first. */
  readonly sources: (id: DataId, at: readonly PeerId[]) => readonly PeerId[]
  /** To the core. */
  readonly tell: (input: DataInput) => void
  readonly onNote: (text: string) => void
}

export class Data {
  readonly files: DataFiles
  readonly #options: DataOptions
  readonly #coming = new Map<DataId, Promise<void>>()
  /** Of those who wait for the first chunk. */
  readonly #begun = new Map<DataId, PromiseWithResolvers<void> & { waiting: number }>()
  /** What comes from a client, and so waits for no other node: settled once it can be read as it comes. */
  readonly #uploads = new Map<DataId, Promise<unknown>>()
  readonly #keeping = new Keeping()
  readonly #closing = new AbortController()
  readonly #gate = new Gate(fetchesMax)
  readonly #turns = new Turns()
  /** Of the disk, since something could be written to it. */
  #lastNote = ''

  constructor(options: DataOptions) {
    this.#options = options
    this.files = options.files
  }

  /** Pieces of which somebody waits for the first chunk. */
  get awaited(): number {
    return this.#begun.size
  }

  /** What the core wants. */
  perform(effect: Exclude<DataEffect, { kind: 'send' }>): void {
    if (effect.kind === 'drop-data') void this.files.drop(effect.id)
    else if (effect.kind === 'data-kept') this.#keeping.kept(effect.ask, effect.copies)
    else this.#wanted(effect.id, effect.at)
  }

  /**
   * Takes it, and resolves when enough nodes have it on disk. Rejects with SHOAL_NO_KEEPERS, SHOAL_DISK, SHOAL_BAD_VALUE, or
   * what the source throws.
   */
  async put(
    pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    plan: PutPlan
  ): Promise<{ id: DataId; copies: number }> {
    const id = await this.files.add(pieces)
    // Said first: what nobody needs goes at once where there is no room.
    const copies = this.#keep(id, plan)
    this.#options.tell({ kind: 'data-here', ids: [id], isRestored: false })
    return { id, copies: await copies }
  }

  /** Sees to it that it is here and sound, and stays until as many calls of `files.release`. Rejects with SHOAL_NOT_FOUND. */
  async fetch(id: DataId, withinMs = insistMs): Promise<void> {
    const until = performance.now() + withinMs
    this.files.use(id)
    for (;;) {
      try {
        await this.#bring(id, [])
        if (await this.#isSound(id)) return this.#options.tell({ kind: 'data-used', id })
      } catch (error) {
        if (performance.now() > until || this.#closing.signal.aborted || isDisk(error)) {
          this.files.release(id)
          throw error
        }
        await this.#pause()
      }
    }
  }

  /**
   * Where the bytes lie as a file that nobody may write to. It stays until `files.release(idOf(ref))`. Rejects with
   * SHOAL_NOT_FOUND, after `insistMs`, if no node has them.
   */
  async fetchToFile(ref: Ref): Promise<string> {
    await this.fetch(idOf(ref))
    return this.files.path(idOf(ref))
  }

  /** Takes a copy of a file, and resolves when enough nodes have it on disk. Rejects as `put` does. */
  async putFile(path: string, plan: PutPlan = { pinMs: 0, copies: 0 }): Promise<Ref> {
    return makeRef((await this.put(piecesOfFile(path), plan)).id)
  }

  /**
   * For who reads on this machine: chunk by chunk, also while it is only coming, and each is what its name says. Rejects with
   * SHOAL_NOT_FOUND, also soon after nobody waits any more, and with SHOAL_DISK.
   */
  async chunks(id: DataId, isOver = (): boolean => false): Promise<Reading> {
    return await readSoundly(
      id,
      () => this.#open(id, isOver),
      () => this.#isSound(id, true)
    )
  }

  async #open(id: DataId, isOver: () => boolean): Promise<Chunks> {
    const until = performance.now() + chunksWithinMs
    for (;;) {
      const found = await this.#lying(id, true)
      if (found !== undefined) this.#options.tell({ kind: 'data-used', id })
      if (found !== undefined) return found
      const failure = await this.#begins(id).catch((error: unknown) => error)
      if (failure === undefined) continue
      if (performance.now() > until || this.#closing.signal.aborted || isOver()) throw failure
      await this.#pause()
    }
  }

  free(ids: readonly DataId[]): void {
    this.#options.tell({ kind: 'data-freed', ids })
  }

  /** Answers the node that opened this stream, or a client, which may be made to wait until it comes from elsewhere. Never rejects. */
  async serve(talk: Talk, node: PeerId | undefined): Promise<void> {
    try {
      let word: Word | undefined = await talk.word(firstWordMs)
      while (word !== undefined && (await this.#answer(talk, word, node)))
        word = await talk.word(nextWordMs).catch(() => undefined)
      await talk.close()
    } catch (error) {
      talk.abort(explainError(error))
    }
  }

  /** False if nothing can follow. */
  async #answer(talk: Talk, word: Word, node: PeerId | undefined): Promise<boolean> {
    if (word.kind === 'ask')
      await (node === undefined ? this.#show(talk, word) : this.#pass(talk, word, node))
    else if (word.kind === 'offer') await this.#receive(talk, word)
    else if (word.kind === 'free') {
      this.free(word.ids)
      talk.say({ kind: 'freed' })
    } else {
      talk.say(refusal(new ShoalError('SHOAL_BAD_MESSAGE', 'this begins no transfer')))
      return false
    }
    return true
  }

  close(): void {
    this.#closing.abort()
    this.#keeping.close()
  }

  #wanted(id: DataId, at: readonly PeerId[]): void {
    this.#bring(id, at).catch((error: unknown) => {
      if (this.#closing.signal.aborted) return
      this.#options.tell({ kind: 'data-failed', id })
      if (!isDisk(error) || this.#lastNote === explainError(error)) return
      this.#lastNote = explainError(error)
      this.#options.onNote(this.#lastNote)
    })
  }

  /** To a client. */
  async #show(talk: Talk, ask: WordOf<'ask'>): Promise<void> {
    const chunks = await this.#open(ask.id, () => talk.isOver).catch((error: unknown) => {
      talk.say({ kind: 'absent', reason: explainError(error).slice(0, 400), at: [] })
    })
    if (chunks !== undefined) await this.#give(talk, ask, chunks)
  }

  /** To another node, unless so many are sent it now that it gets it sooner from one that was. */
  async #pass(talk: Talk, ask: WordOf<'ask'>, node: PeerId): Promise<void> {
    // Who is to keep it is told of it before its file is made.
    await this.#uploads.get(ask.id)?.catch(() => {})
    const chunks = await this.#lying(ask.id, this.#uploads.has(ask.id))
    if (chunks === undefined) return talk.say({ kind: 'absent', reason: '', at: [] })
    const answer = await this.#turns.next(ask.id, node)
    if (answer.kind === 'elsewhere') {
      await chunks.close()
      return talk.say({ kind: 'absent', reason: '', at: answer.at })
    }
    let hasIt = false
    try {
      hasIt = await this.#give(talk, ask, chunks)
    } finally {
      answer.ended(hasIt)
    }
  }

  /** True if the other side says that it has all of it now. */
  async #give(talk: Talk, ask: WordOf<'ask'>, chunks: Chunks): Promise<boolean> {
    // Whoever asks again after this gets it from elsewhere.
    const unread = async (): Promise<void> => void (await this.#isSound(ask.id, true))
    try {
      const given = watched(chunks, () => this.#keeping.moved(ask.id), unread)
      const { kind } = await give(talk, given, ask)
      if (kind === 'damaged') await this.#isSound(ask.id, true)
      return kind === 'kept'
    } finally {
      await chunks.close()
    }
  }

  /** What is here now, if it can be read. */
  async #lying(id: DataId, alsoComing: boolean): Promise<Chunks | undefined> {
    return await this.files.chunks(id, alsoComing).catch(async (error: unknown) => {
      if (await this.#isSound(id, true)) throw error
      return undefined
    })
  }

  /** It lies here, and is what its name says. `anew`: by all its bytes, since something was not as it should be. */
  async #isSound(id: DataId, anew = false): Promise<boolean> {
    if (!this.files.has(id)) return false
    if (await (anew ? this.files.checkAgain(id) : this.files.check(id))) return true
    this.#options.onNote(`data ${id} was damaged on this disk, and is fetched again where it is needed`)
    this.#options.tell({ kind: 'data-lost', id })
    return false
  }

  async #receive(talk: Talk, { id, ...plan }: WordOf<'offer'>): Promise<void> {
    try {
      const list = await listOf(talk, id)
      // Of those who wait for another one in vain, the first goes on with it.
      const arrives = (): Promise<void> =>
        this.#coming.get(id)?.catch(arrives) ?? this.#arrives(id, () => this.#upload(talk, id, list))
      const arriving = arrives()
      // Others are told at once, and get each chunk as it comes.
      const kept = this.#keep(id, plan)
      kept.catch(() => {})
      await arriving
      talk.say({ kind: 'kept', copies: await kept })
    } catch (error) {
      talk.say(refusal(error))
    }
  }

  async #upload(talk: Talk, id: DataId, list: Uint8Array): Promise<void> {
    if (await this.#isSound(id)) return this.#here(id)
    const begins = this.files.begin(id, list)
    this.#uploads.set(id, begins)
    try {
      const part = await begins
      this.#hasBegun(id)
      await this.#fill(part, talk).catch(async (error: unknown) => {
        await this.files.pause(part, error)
        throw error
      })
    } finally {
      this.#uploads.delete(id)
    }
  }

  #keep(id: DataId, plan: PutPlan): Promise<number> {
    return this.#keeping.until(
      id,
      (ask) => this.#options.tell({ kind: 'data-put', id, ask, pin: pinOf(plan), copies: plan.copies }),
      (ask) => this.#options.tell({ kind: 'data-unasked', ask })
    )
  }

  /** Brings it; resolves as soon as its first chunk is here. */
  async #begins(id: DataId): Promise<void> {
    const begun = this.#begun.get(id) ?? { ...Promise.withResolvers<void>(), waiting: 0 }
    this.#begun.set(id, begun)
    begun.waiting++
    try {
      await Promise.race([begun.promise, this.#bring(id, [])])
    } finally {
      if (--begun.waiting === 0 && this.#begun.get(id) === begun) this.#begun.delete(id)
    }
  }

  #hasBegun(id: DataId): void {
    this.#begun.get(id)?.resolve()
    this.#begun.delete(id)
  }

  #here(id: DataId): void {
    this.files.reprieve(id)
    this.#options.tell({ kind: 'data-here', ids: [id], isRestored: false })
  }

  async #bring(id: DataId, at: readonly PeerId[]): Promise<void> {
    if (this.files.has(id)) return this.#here(id)
    await (this.#coming.get(id) ?? this.#arrives(id, () => this.#gate.through(() => this.#fetch(id, at))))
  }

  #arrives(id: DataId, bring: () => Promise<void>): Promise<void> {
    const arriving = bring().finally(() => void this.#coming.delete(id))
    this.#coming.set(id, arriving)
    arriving.catch(() => {})
    return arriving
  }

  /** From the first who has it; from the next one, if a transfer breaks. */
  async #fetch(id: DataId, at: readonly PeerId[]): Promise<void> {
    const failures: string[] = []
    let part: Part | undefined
    try {
      const line = [...this.#options.sources(id, at)]
      const asks = new Map<PeerId, number>()
      for (let peer = line.shift(); peer !== undefined; peer = line.shift()) {
        const asked = asks.get(peer) ?? 0
        if (asked >= asksMax) continue
        asks.set(peer, asked + 1)
        const failure = await this.#fetchFrom(peer, id, (begun) => {
          part = begun
        })
        if (failure === undefined) return
        if (isDisk(failure)) throw failure
        if (failure instanceof ElsewhereError && failure.at.length > 0) {
          line.unshift(...failure.at)
          line.push(peer)
        }
        failures.push(`${peer}: ${explainError(failure)}`)
      }
      const asked = failures.length > 0 ? failures.join('; ') : 'nobody to ask is connected'
      throw new ShoalError('SHOAL_NOT_FOUND', `no node has the data ${id} (${asked})`)
    } catch (error) {
      if (part !== undefined) await this.files.pause(part, error)
      throw error
    }
  }

  /** Returns what went wrong, if it did. */
  async #fetchFrom(peer: PeerId, id: DataId, onBegun: (part: Part) => void): Promise<unknown> {
    let talk: Talk | undefined
    try {
      talk = await this.#options.talkTo(peer)
      const promised = await askFor(talk, id)
      const part = await this.files.begin(id, promised.list)
      onBegun(part)
      this.#hasBegun(id)
      await this.#fill(part, talk, promised.first)
      talk.say({ kind: 'kept', copies: 1 })
      await talk.rest()
      return undefined
    } catch (error) {
      if (error instanceof DamagedError) {
        this.#options.onNote(`${peer} sent damaged data ${id}: ${error.message}; it is fetched elsewhere`)
        // In good order, so that the other side hears what was wrong.
        await talk?.close()
      } else if (error instanceof ElsewhereError) await talk?.rest()
      else talk?.abort(explainError(error))
      return error
    }
  }

  async #fill(part: Part, talk: Talk, first?: Word): Promise<void> {
    for await (const { index, bytes } of take(talk, part.id, { list: part.list, first }, part.missing())) {
      await this.files.write(part, index, bytes)
      giveMemory(bytes)
      this.#keeping.moved(part.id)
    }
    await this.files.finish(part)
    this.#lastNote = ''
    this.#here(part.id)
  }

  /** Ends early, and well, if the node stops. */
  #pause(): Promise<void> {
    return sleep(tryAgainMs, undefined, { signal: this.#closing.signal }).catch(() => {})
  }
}
