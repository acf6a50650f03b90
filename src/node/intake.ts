/**
 * Data on its way here, from other nodes or from a client: what several want comes once.
 *
 * Not here: who is to have it, and what is given to others (data.ts); files (datafiles.ts); one transfer (courier.ts).
 * A transfer that breaks goes on from the next one who has it, with the chunks that have not come.
 */
import { explainError, ShoalError } from '../errors.ts'
import type { DataId, PeerId } from '../ids.ts'
import { giveMemory } from '../spent.ts'
import { askFor, DamagedError, ElsewhereError, type Promised, take, thank } from './courier.ts'
import { type DataFiles, isDisk } from './datafiles.ts'
import { Gate } from './gate.ts'
import type { Part } from './part.ts'
import type { Talk } from './talk.ts'

/** Data that is brought here at a time; the rest waits. */
const fetchesMax = 16
/** How often one node is asked in the same search: another may send us back to it. */
const asksMax = 3

/** Nobody who was asked gave it. */
export class MissingError extends ShoalError {
  /** All who could have it were asked, and said that they do not. */
  readonly isNowhere: boolean

  constructor(message: string, isNowhere: boolean) {
    super('SHOAL_NOT_FOUND', message)
    this.isNowhere = isNowhere
  }
}

export interface IntakeOptions {
  readonly files: DataFiles
  readonly talkTo: (peer: PeerId) => Promise<Talk>
  /** Whom to ask, best first. */
  readonly sources: (id: DataId, at: readonly PeerId[]) => readonly PeerId[]
  /** Nobody else could have it: nobody is away who may be back. */
  readonly areAll: (sources: readonly PeerId[]) => boolean
  /** It lies here, and is what its name says. */
  readonly isSound: (id: DataId) => Promise<boolean>
  /** A chunk of it was written. */
  readonly onMoved: (id: DataId) => void
  /** All of it is on the disk. `isWritten`: just now. */
  readonly onHere: (id: DataId, isWritten: boolean) => void
  readonly onNote: (text: string) => void
}

export class Intake {
  readonly #options: IntakeOptions
  readonly #coming = new Map<DataId, Promise<void>>()
  /** Of those who wait for the first chunk. */
  readonly #begun = new Map<DataId, PromiseWithResolvers<void> & { waiting: number }>()
  readonly #uploads = new Map<DataId, Promise<unknown>>()
  /** Who wants to be first to hear of it. */
  readonly #before = new Map<DataId, Set<() => void>>()
  readonly #gate = new Gate(fetchesMax)

  constructor(options: IntakeOptions) {
    this.#options = options
  }

  /** Pieces of which somebody waits for the first chunk. */
  get awaited(): number {
    return this.#begun.size
  }

  /** What comes from a client, and so waits for no other node: settled once it can be read as it comes. */
  uploading(id: DataId): Promise<unknown> | undefined {
    return this.#uploads.get(id)
  }

  /** Brings it; resolves as soon as its first chunk is here. */
  async begins(id: DataId): Promise<void> {
    const begun = this.#begun.get(id) ?? { ...Promise.withResolvers<void>(), waiting: 0 }
    this.#begun.set(id, begun)
    begun.waiting++
    try {
      await Promise.race([begun.promise, this.bring(id, [])])
    } finally {
      if (--begun.waiting === 0 && this.#begun.get(id) === begun) this.#begun.delete(id)
    }
  }

  async bring(id: DataId, at: readonly PeerId[]): Promise<void> {
    if (this.#options.files.has(id)) return this.#here(id, false)
    await (this.#coming.get(id) ?? this.#arrives(id, () => this.#gate.through(() => this.#fetch(id, at))))
  }

  /**
   * From a client, unless it comes already; of those who wait for another one in vain, the first goes on with it. `beforeHere`: is
   * called when it is on the disk, before anybody is told.
   */
  async take(talk: Talk, id: DataId, promised: Promised, beforeHere: () => void): Promise<void> {
    const waiting = this.#before.get(id) ?? new Set()
    this.#before.set(id, waiting.add(beforeHere))
    const arrives = (): Promise<void> =>
      this.#coming.get(id)?.catch(arrives) ?? this.#arrives(id, () => this.#upload(talk, id, promised))
    try {
      await arrives()
    } finally {
      waiting.delete(beforeHere)
      if (waiting.size === 0 && this.#before.get(id) === waiting) this.#before.delete(id)
    }
  }

  #here(id: DataId, isWritten: boolean): void {
    for (const act of this.#before.get(id) ?? []) act()
    this.#options.onHere(id, isWritten)
  }

  #hasBegun(id: DataId): void {
    this.#begun.get(id)?.resolve()
    this.#begun.delete(id)
  }

  async #upload(talk: Talk, id: DataId, promised: Promised): Promise<void> {
    // It may have been dropped since.
    if ((await this.#options.isSound(id)) && this.#options.files.has(id)) return this.#here(id, false)
    const begins = this.#options.files.begin(id, promised.list)
    this.#uploads.set(id, begins)
    try {
      const part = await begins
      this.#hasBegun(id)
      await this.#fill(part, talk, promised).catch(async (error: unknown) => {
        await this.#options.files.pause(part, error)
        throw error
      })
    } finally {
      this.#uploads.delete(id)
    }
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
      const sources = this.#options.sources(id, at)
      const line = [...sources]
      let isNowhere = this.#options.areAll(sources)
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
        const isAbsent = failure instanceof ElsewhereError
        if (!isAbsent || failure.at.length > 0 || failure.reason !== '') isNowhere = false
        failures.push(`${peer}: ${isAbsent ? failure.message : explainError(failure)}`)
      }
      const asked = failures.length > 0 ? failures.join('; ') : 'nobody to ask is connected'
      throw new MissingError(`no node has the data ${id} (${asked})`, isNowhere)
    } catch (error) {
      if (part !== undefined) await this.#options.files.pause(part, error)
      throw error
    }
  }

  /** Returns what went wrong, if it did. */
  async #fetchFrom(peer: PeerId, id: DataId, onBegun: (part: Part) => void): Promise<unknown> {
    let talk: Talk | undefined
    try {
      talk = await this.#options.talkTo(peer)
      const promised = await askFor(talk, id)
      const part = await this.#options.files.begin(id, promised.list)
      onBegun(part)
      this.#hasBegun(id)
      await this.#fill(part, talk, promised)
      thank(talk, promised)
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

  async #fill(part: Part, talk: Talk, promised: Promised): Promise<void> {
    for await (const { index, bytes } of take(talk, part.id, promised, part.missing())) {
      await this.#options.files.write(part, index, bytes)
      giveMemory(bytes)
      this.#options.onMoved(part.id)
    }
    await this.#options.files.finish(part)
    this.#here(part.id, true)
  }
}
