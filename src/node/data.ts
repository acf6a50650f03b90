/**
 * Data as the shell handles it: brings here what is wanted here, takes what is put, and gives it to who asks.
 *
 * Not here: who is to hold what (the core: data/), files (datafiles.ts), the talk of one transfer (courier.ts).
 * What comes from several at once comes once; a transfer that breaks goes on from the next one who has it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { untilAborted } from '../client/abortable.ts'
import { stalledMs } from '../client/patience.ts'
import type { DataEffect } from '../data/effects.ts'
import { copiesDefault } from '../data/guard.ts'
import { idOf, makeRef, type Ref } from '../data/ref.ts'
import { explainError, ShoalError } from '../errors.ts'
import type { DataId, PeerId } from '../ids.ts'
import { type Chunks, chunksIn, type Pieces, piecesOfFile, watched } from './chunks.ts'
import { give, listOf, offered } from './courier.ts'
import { type DataFiles, isDisk } from './datafiles.ts'
import { Intake, MissingError } from './intake.ts'
import { Keeping, type PutPlan, pinOf } from './keeping.ts'
import { type Reading, readSoundly } from './reading.ts'
import type { DataInput } from './stock.ts'
import { refusal, type Talk, type Word, type WordOf } from './talk.ts'
import { Turns } from './turns.ts'
import { stopped } from './underway.ts'

/** Between two tries to get what some node should have. */
const tryAgainMs = 500
/** Somebody waits for it here: then it counts as lost. */
export const insistMs = 30_000
const firstWordMs = 20_000
/** Whoever opened a stream closes it before (talks.ts), if it is there. */
const nextWordMs = 60_000
/** A client elsewhere waits for it, which asks again (client/data.ts): meanwhile it hears nothing. */
const showWithinMs = 10_000
/** All nodes have said for so long that they do not have it: who has just come, or just got it, was heard of by then. */
const nowhereMs = 5_000

export interface DataOptions {
  readonly files: DataFiles
  readonly talkTo: (peer: PeerId) => Promise<Talk>
  /** Its files can be read here, as far as is known. */
  readonly isNear: (peer: PeerId) => boolean
  /** Whom to ask, best first. */
  readonly sources: (id: DataId, at: readonly PeerId[]) => readonly PeerId[]
  /** Nobody else could have it: nobody is away who may be back. */
  readonly areAll: (sources: readonly PeerId[]) => boolean
  /** To the core. */
  readonly tell: (input: DataInput) => void
  readonly onNote: (text: string) => void
}

export class Data {
  readonly files: DataFiles
  readonly #options: DataOptions
  readonly #intake: Intake
  readonly #keeping = new Keeping()
  readonly #closing = new AbortController()
  readonly #turns = new Turns()
  /** Of the disk, since something could be written to it. */
  #lastNote = ''

  constructor(options: DataOptions) {
    this.#options = options
    this.files = options.files
    this.#intake = new Intake({
      ...options,
      isSound: (id) => this.#isSound(id),
      onMoved: (id) => this.#keeping.moved(id),
      onHere: (id, isWritten) => {
        if (isWritten) this.#lastNote = ''
        this.files.reprieve(id)
        this.#options.tell({ kind: 'data-here', ids: [id], isRestored: false })
      }
    })
  }

  /** Pieces of which somebody waits for the first chunk. */
  get awaited(): number {
    return this.#intake.awaited
  }

  /** What the core wants. */
  perform(effect: Exclude<DataEffect, { kind: 'send' }>): void {
    if (effect.kind === 'drop-data') void this.files.drop(effect.id)
    else if (effect.kind === 'data-kept') this.#keeping.kept(effect.ask, effect.copies)
    else if (effect.kind === 'data-refused') this.#keeping.refused(effect.ask)
    else this.#wanted(effect.id, effect.at)
  }

  /**
   * Takes it, and resolves when enough nodes have it on disk. Rejects with SHOAL_NO_KEEPERS, SHOAL_DISK, SHOAL_BAD_VALUE,
   * SHOAL_CLOSED, or what the source throws.
   */
  async put(pieces: Pieces, plan: PutPlan): Promise<{ id: DataId; copies: number }> {
    const id = await this.files.add(untilAborted(pieces, this.#closing.signal))
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
        await this.#intake.bring(id, [])
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
   * SHOAL_NOT_FOUND when a client elsewhere would have given it up, also soon after nobody waits any more, and with SHOAL_DISK.
   */
  async chunks(id: DataId, isOver = (): boolean => false): Promise<Reading> {
    return await readSoundly(
      id,
      () => this.#open(id, isOver, stalledMs),
      () => this.#isSound(id, true)
    )
  }

  async #open(id: DataId, isOver: () => boolean, withinMs: number): Promise<Chunks> {
    const until = performance.now() + withinMs
    let nowhereAt = Number.POSITIVE_INFINITY
    for (;;) {
      const found = await this.#lying(id, true)
      if (found !== undefined) this.#options.tell({ kind: 'data-used', id })
      if (found !== undefined) return found
      const failure = await this.#intake.begins(id).catch((error: unknown) => error)
      if (failure === undefined) continue
      const now = performance.now()
      const isNowhere = failure instanceof MissingError && failure.isNowhere
      nowhereAt = isNowhere ? Math.min(nowhereAt, now + nowhereMs) : Number.POSITIVE_INFINITY
      if (now >= nowhereAt)
        throw new MissingError(
          `no node that is up has the data ${id}; it was freed, or its nodes are down`,
          true
        )
      if (now > until || this.#closing.signal.aborted || isOver()) throw failure
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

  /** Lets all go that is under way. */
  close(): void {
    const why = stopped()
    this.#closing.abort(why)
    this.#keeping.close(why)
  }

  #wanted(id: DataId, at: readonly PeerId[]): void {
    this.#intake.bring(id, at).catch((error: unknown) => {
      if (this.#closing.signal.aborted) return
      this.#options.tell({ kind: 'data-failed', id })
      if (!isDisk(error) || this.#lastNote === explainError(error)) return
      this.#lastNote = explainError(error)
      this.#options.onNote(this.#lastNote)
    })
  }

  /** To a client. */
  async #show(talk: Talk, ask: WordOf<'ask'>): Promise<void> {
    const chunks = await this.#open(ask.id, () => talk.isOver, showWithinMs).catch((error: unknown) => {
      const isMissing = error instanceof MissingError
      const reason = (isMissing ? error.message : explainError(error)).slice(0, 400)
      talk.say({ kind: 'absent', reason, at: [], isNowhere: isMissing && error.isNowhere })
    })
    if (chunks !== undefined) await this.#give(talk, ask, chunks)
  }

  /** To another node, unless so many are sent it now that it gets it sooner from one that was. */
  async #pass(talk: Talk, ask: WordOf<'ask'>, node: PeerId): Promise<void> {
    // Who is to keep it is told of it before its file is made.
    await this.#intake.uploading(ask.id)?.catch(() => {})
    const chunks = await this.#lying(ask.id, this.#intake.uploading(ask.id) !== undefined)
    if (chunks === undefined) return talk.say({ kind: 'absent', reason: '', at: [], isNowhere: false })
    const answer = await this.#turns.next(ask.id, node)
    if (answer.kind === 'elsewhere') {
      await chunks.close()
      return talk.say({ kind: 'absent', reason: '', at: answer.at, isNowhere: false })
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
      const { kind } = await give(talk, given, { ask })
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
    const isSound = await (anew ? this.files.checkAgain(id) : this.files.check(id))
    if (isSound !== false) return isSound === true
    this.#options.onNote(`data ${id} was damaged on this disk, and is fetched again where it is needed`)
    this.#options.tell({ kind: 'data-lost', id })
    return false
  }

  async #receive(talk: Talk, offer: WordOf<'offer'>): Promise<void> {
    const { id } = offer
    let isComing = false
    try {
      const promised = offered(talk, offer, await listOf(talk, id))
      const kept = Promise.withResolvers<number>()
      kept.promise.catch(() => {})
      let isTold = false
      const keep = (): void => {
        // What it tells the core may call this again: two who put it would count as two users.
        if (isTold) return
        isTold = true
        this.#keep(id, offer).then(kept.resolve, kept.reject)
      }
      isComing = true
      // It comes from here: the core is not to have it fetched elsewhere.
      const arriving = this.#intake.take(talk, id, promised, keep).finally(() => {
        isComing = false
      })
      // Others are told at once, and get each chunk as it comes; on this machine they find what is one chunk by its name.
      if (!this.#isFoundByName(id, offer.copies)) keep()
      // What is refused need not come to its end.
      await Promise.race([arriving, kept.promise.then(() => arriving)])
      keep()
      talk.say({ kind: 'kept', copies: await kept.promise })
    } catch (error) {
      talk.say(refusal(error))
      if (isComing) await talk.close()
    }
  }

  /** By one of those who are to keep it. */
  #isFoundByName(id: DataId, copies: number): boolean {
    const { sources, isNear } = this.#options
    return (
      chunksIn(id) === 1 &&
      sources(id, [])
        .slice(0, copies || copiesDefault)
        .some(isNear)
    )
  }

  #keep(id: DataId, plan: PutPlan): Promise<number> {
    return this.#keeping.until(
      id,
      (ask) => this.#options.tell({ kind: 'data-put', id, ask, pin: pinOf(plan), copies: plan.copies }),
      (ask) => this.#options.tell({ kind: 'data-unasked', ask })
    )
  }

  /** Ends early, and well, if the node stops. */
  #pause(): Promise<void> {
    return sleep(tryAgainMs, undefined, { signal: this.#closing.signal }).catch(() => {})
  }
}
