/**
 * One job for all clients that submit the same key: who of them submits it, and whether the last one has left it.
 *
 * Not here: how nodes agree on a cell (cells/), and what is submitted (client.ts).
 * The id of the job is made of its key, so that all know it; a book of cells says which of them submits. Who does so tells the
 * others that it is still there, and whoever misses that takes its place: with a newer epoch, before which older ones give way
 * (tasks/rivals.ts). Like a doorbell that many hear: one goes, and the others look up only if nobody does.
 */
import { createHash } from 'node:crypto'
import { type ErrorCode, ShoalError } from '../errors.ts'
import type { JobId } from '../ids.ts'
import type { ClientCells } from './cells.ts'
import { MeshVariable } from './coordination/variable.ts'
import type { Within } from './nest.ts'

export const keyLengthMax = 256
/** Cells that all keys are spread over, and keys that each of them remembers: those that were used last. */
const pagesMax = 1_024
const keysMax = 150
/** Between two signs of life of who submits, and how long it may be without one. */
const beatMs = 5_000
const silentMs = 15_000
/** Clients that are remembered of one job. With more, none of them is the last one, and it is cancelled by its id. */
const usersMax = 16
/** Epochs that one submission may use, one for each entry that it loses. */
const epochsPerClaim = 64
/** For those of which no record is left: a cell counts its changes, and each is worth so many. */
const epochsPerChange = 16

/** What a cell says of a command that may be done later. */
const passing: ReadonlySet<ErrorCode> = new Set(['SHOAL_NO_QUORUM', 'SHOAL_UNDECIDED', 'SHOAL_BUSY'])

type Entry = {
  readonly epoch: number
  /** Grows while somebody submits it. */
  readonly beat: number
  readonly state: 'making' | 'made' | 'cancelled'
  readonly users: readonly string[]
}
type Page = Readonly<Record<string, Entry>>
/** What becomes of an entry; `false` leaves everything as it is. */
type Change = (entry: Entry | undefined) => Entry | undefined | false

export interface ShareHost {
  /** As which epoch of its submitter the mesh has it as a whole, as far as nodes answer. */
  acceptedAs(job: JobId): Promise<number | undefined>
}

/** The job of one key, as its client handles it. */
export interface Shared {
  readonly takesInputs: boolean
  readonly progress: { readonly done: number }
  /** Somebody else submits it, or has done so. */
  joined(): void
  /** The mesh has all of it. */
  untilHanded(): Promise<void>
  /** The book says that it is made; with an error, nobody will know. */
  noted(error?: Error): void
  fail(error: Error): void
}

/** Throws SHOAL_BAD_OPTION within a task. */
export function shareOf(key: string, host: ShareHost, cells: ClientCells, within: Within): Share {
  if (within.nest !== undefined)
    throw new ShoalError(
      'SHOAL_BAD_OPTION',
      'a task cannot submit by `key`: what it submits ends with it, whoever else may wait for it'
    )
  return new Share(host, cells, key)
}

export class Share {
  readonly job: JobId
  /** Of the shards that are submitted. */
  epoch = 0
  readonly #host: ShareHost
  readonly #user: string
  readonly #book: MeshVariable<Page>
  /** Settles when this client has done with the job of the key that it gave up before. */
  turn: Promise<void> | undefined
  #hasBegun = false
  /** Others may count this client among the users. */
  #isUser = false
  #left: Promise<void> | undefined
  readonly #gone = Promise.withResolvers<void>()
  #beats: ReturnType<typeof setInterval> | undefined

  constructor(host: ShareHost, cells: ClientCells, key: string) {
    const hash = createHash('sha256').update(`shoal job of key\0${key}`).digest()
    this.#host = host
    this.#user = cells.name
    this.job = hash.subarray(0, 12).toString('base64url') as JobId
    this.#book = new MeshVariable(cells, String(hash.readUInt32LE(12) % pagesMax), 'job')
  }

  /**
   * True if this client is to submit it; else `follow` reads it, now or once it is there. Rejects as variables do, and with
   * SHOAL_UNDECIDED if it `isOnce` and another client may have begun it: tasks of two submissions would not know of each other.
   */
  async begin(job: Shared, follow: () => void, isOnce: boolean): Promise<boolean> {
    if (this.#hasBegun) return false
    this.#hasBegun = true
    await this.turn
    if (!job.takesInputs) return false
    this.#isUser = true
    const isMaker = await this.#claim(job, isOnce)
    if (!job.takesInputs) {
      if (isMaker) await this.#giveUp()
      return false
    }
    if (isMaker) {
      void this.#see(job, follow)
      return true
    }
    job.joined()
    follow()
    return false
  }

  /** This client does not want it any more: cancels it if nobody else is left; whether anybody is may not be known, so then it goes on. */
  leave(cancel: () => void, onLeft: (error: ShoalError) => void): void {
    const text = `this client has left job ${this.job}; others who submitted its key may wait for it`
    const left = (): void => onLeft(new ShoalError('SHOAL_CANCELLED', text))
    this.#left = this.#leave().then((isLast) => (isLast ? cancel() : left()), left)
  }

  /** This client hears no more of it. */
  forgotten(): void {
    this.#gone.resolve(this.#left)
  }

  /** Settles when this client has done with it, and others can tell whether they are the last. */
  get gone(): Promise<void> {
    return this.#gone.promise
  }

  async #leave(): Promise<boolean> {
    if (!this.#isUser) return false
    let isLast = true
    this.#stop()
    await this.#change((entry) => {
      if (entry === undefined || entry.state === 'cancelled') return false
      const users = entry.users.filter((user) => user !== this.#user)
      isLast = users.length === 0
      return { ...entry, users, state: isLast ? 'cancelled' : entry.state }
    })
    return isLast
  }

  /** The mesh has forgotten it. */
  async drop(): Promise<void> {
    await this.#change((entry) => (entry?.state === 'made' ? undefined : false))
  }

  async #claim(job: Shared, isOnce: boolean): Promise<boolean> {
    let hasWaited = false
    let asked = -1
    let mark = ''
    let since = performance.now()
    while (job.takesInputs) {
      const { value: page = {}, version } = await this.#book.read()
      const entry = page[this.job]
      const seen = `${entry?.epoch} ${entry?.beat}`
      if (seen !== mark) [mark, since] = [seen, performance.now()]
      const isSilent = performance.now() - since >= silentMs
      // A change that nobody could tell of may have been done after all.
      if (entry?.state === 'making' && entry.epoch === this.epoch && entry.users[0] === this.#user)
        return true
      // Who submits it may be gone before it could say so, and a record of it before the job: then the mesh knows.
      const isDoubtful =
        entry === undefined || (entry.state === 'making' && (isSilent || entry.epoch !== asked))
      if (isDoubtful) asked = entry?.epoch ?? asked
      if (entry?.state === 'made' || (isDoubtful && (await this.#isThere(entry?.epoch)))) {
        const { epoch, beat, users } = entry ?? { epoch: newEpoch(undefined, version), beat: 0, users: [] }
        if (await this.#put(version, page, { epoch, beat, state: 'made', users: this.#with(users) }))
          return false
      } else if (entry?.state === 'making' && !isSilent) {
        hasWaited = true
        await this.#book.newer(version, { timeout: silentMs }).catch(onlyLate)
      } else if (isOnce && (hasWaited || entry?.state === 'making')) throw begun(this.job)
      else {
        this.epoch = newEpoch(entry, version)
        const users = [this.#user, ...(entry?.state === 'making' ? entry.users : [])].slice(0, usersMax + 1)
        const made = await this.#put(version, page, {
          epoch: this.epoch,
          beat: 0,
          state: 'making',
          users: [...new Set(users)]
        }).catch(onlyUndecided)
        if (made) return true
      }
    }
    return false
  }

  /** The mesh has all of it, as it was submitted with these epochs. */
  async #isThere(epoch: number | undefined): Promise<boolean> {
    const found = await this.#host.acceptedAs(this.job)
    if (found === undefined || epoch === undefined) return found !== undefined
    return epoch <= found && found < epoch + epochsPerClaim
  }

  /** While this client submits it, and when it has. */
  async #see(job: Shared, follow: () => void): Promise<void> {
    this.#beats = setInterval(() => {
      const beat: Change = (entry) => (this.#makes(entry) ? { ...entry, beat: entry.beat + 1 } : false)
      this.#change(beat).catch(() => {})
    }, beatMs)
    this.#beats.unref()
    try {
      await job.untilHanded()
      await this.#note(job, follow).catch((error: Error) => job.noted(error))
    } catch {
      // It failed by itself: who waits for it tries it in turn. If nobody can be asked now, the missing beats tell.
      const end = async (): Promise<void> =>
        this.#giveUp((await this.#isThere(this.epoch)) ? 'made' : 'cancelled')
      await end().catch(() => {})
    } finally {
      this.#stop()
    }
  }

  /** Has the book say that it is made: only then it is found by whoever submits the key. */
  async #note(job: Shared, follow: () => void): Promise<void> {
    let found: Entry | undefined
    await insist(() =>
      this.#change((entry) => {
        found = entry
        return this.#makes(entry) ? { ...entry, state: 'made' } : false
      })
    )
    if (found === undefined || found.epoch === this.epoch) return job.noted()
    if (job.progress.done === 0) {
      follow()
      if (await insist(() => this.#isMade())) return job.noted()
    }
    const error = replaced(this.job)
    job.fail(error)
    job.noted(error)
  }

  /** Waits for who submits it now; false if that came to nothing. */
  async #isMade(): Promise<boolean> {
    for (;;) {
      const { value: page = {}, version } = await this.#book.read()
      const state = page[this.job]?.state
      if (state !== 'making') return state !== 'cancelled'
      await this.#book.newer(version, { timeout: silentMs }).catch(onlyLate)
    }
  }

  #makes(entry: Entry | undefined): entry is Entry {
    return entry?.epoch === this.epoch && entry.state === 'making'
  }

  /** What this client was to submit will not come from it. */
  async #giveUp(state: 'made' | 'cancelled' = 'cancelled'): Promise<void> {
    await this.#change((entry) => (this.#makes(entry) ? { ...entry, state } : false))
  }

  #stop(): void {
    clearInterval(this.#beats)
  }

  #with(users: readonly string[]): readonly string[] {
    return users.length > usersMax ? users : [...new Set([...users, this.#user])]
  }

  async #change(change: Change): Promise<void> {
    for (;;) {
      const { value: page = {}, version } = await this.#book.read()
      const entry = change(page[this.job])
      if (entry === false || (await this.#put(version, page, entry))) return
    }
  }

  /** False if somebody else was faster. */
  async #put(version: number, page: Page, entry: Entry | undefined): Promise<boolean> {
    const others = Object.entries(page).filter(([job]) => job !== this.job)
    const own = entry === undefined ? [] : [[this.job, entry] as const]
    // The last one is the one that was used last. Of a key that is remembered no more the mesh is asked.
    const kept = [...others, ...own].slice(-keysMax)
    return await this.#book.setIf(version, Object.fromEntries(kept))
  }
}

const newEpoch = (entry: Entry | undefined, version: number): number =>
  Math.max((entry?.epoch ?? 0) + epochsPerClaim, version * epochsPerChange)

/** Until it can be done: the job is there already, and who submits its key has to learn of it. */
async function insist<T>(order: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await order()
    } catch (error) {
      if (!(error instanceof ShoalError && passing.has(error.code))) throw error
    }
    await new Promise<void>((resolve) => void setTimeout(resolve, beatMs).unref())
  }
}

function onlyLate(error: unknown): void {
  if (!(error instanceof ShoalError && error.code === 'SHOAL_TIMEOUT')) throw error
}

function onlyUndecided(error: unknown): false {
  if (error instanceof ShoalError && error.code === 'SHOAL_UNDECIDED') return false
  throw error
}

const begun = (job: JobId): ShoalError =>
  new ShoalError(
    'SHOAL_UNDECIDED',
    `the client that submitted ${job} was lost or gave up before it was done with that; its tasks run at most once, and some may have begun: look at job(), and use another key for those that are to run`
  )

const replaced = (job: JobId): ShoalError =>
  new ShoalError(
    'SHOAL_UNDECIDED',
    `this client was silent for so long that another one submitted ${job} again; read it by job()`
  )

/** Of a job that others may wait for, no task is cancelled alone. */
export const wanted = (): ShoalError =>
  new ShoalError(
    'SHOAL_BAD_OPTION',
    'others who submitted its key may wait for this task; cancel() of the job leaves it to them'
  )
