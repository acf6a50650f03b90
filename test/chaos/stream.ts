/**
 * Clients that submit jobs one after another and judge every result as it comes.
 *
 * Not here: the work and its check (work.ts), what happens to the nodes meanwhile (faults.ts).
 * A book is kept of every job from its submission on: what is in it and was accepted must come out, once, right, and the same
 * for everybody who asks.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Client, type Completed, connect, type JobHandle } from '../../src/index.ts'
import type { Random } from '../../src/random.ts'
import type { ChaosMesh } from './nodes.ts'
import type { Recoveries } from './recovery.ts'
import { drawPlan, isRight, type Output, type Plan, pulled, task } from './work.ts'

export interface Entry {
  readonly id: string
  readonly plan: Plan
  isAccepted: boolean
  /** It came to its end, with results or not. */
  isEnded: boolean
  /** Why it ended without all results, if it did. */
  refusal: string
  readonly tokens: Map<number, string>
  /** What a client got that asked for the job when all was over. */
  readonly readAgain: Set<number>
}

export class Book {
  readonly entries: Entry[] = []
  wrong = 0
  duplicates = 0
  /** First of their kind, for people. */
  readonly complaints: string[] = []

  open(id: string, plan: Plan): Entry {
    const entry: Entry = {
      id,
      plan,
      isAccepted: false,
      isEnded: false,
      refusal: '',
      tokens: new Map(),
      readAgain: new Set()
    }
    this.entries.push(entry)
    return entry
  }

  /** One result of a reader's stream. `seen` holds what this reader was given before. */
  judge(entry: Entry, { index, ...result }: Completed<Output>, seen: Set<number>): void {
    const input = entry.plan.inputs[index]
    if (seen.has(index)) this.#complain('duplicates', `${entry.id}:${index} was delivered twice`)
    seen.add(index)
    if (input === undefined) return this.#complain('wrong', `${entry.id}:${index} was never submitted`)
    if (result.error !== undefined)
      return this.#complain('wrong', `${entry.id}:${index} failed: ${result.error}`)
    if (!isRight(input, result.value)) return this.#complain('wrong', `${entry.id}:${index} is wrong`)
    const before = entry.tokens.get(index)
    if (before !== undefined && before !== result.value.token)
      return this.#complain('wrong', `${entry.id}:${index} has two outcomes`)
    entry.tokens.set(index, result.value.token)
  }

  #complain(kind: 'wrong' | 'duplicates', text: string): void {
    this[kind]++
    if (this.complaints.length < 20) this.complaints.push(text)
  }
}

export interface StreamOptions {
  readonly mesh: ChaosMesh
  readonly book: Book
  readonly recoveries: Recoveries
  readonly random: Random
  /** No new job is begun after it. */
  readonly signal: AbortSignal
}

/**
 * Of two keepers one alone may commit, so after a power cut each may commit another outcome before it hears of the other.
 * That is a limit that people are told of; here it is asked for what is promised without it.
 */
const keepers = { min: 3 }
/** Between two jobs, if the first was refused because too few nodes could keep it at the moment. */
const refusedMs = 100

/** One client with so many jobs at a time. Resolves when its last job has ended. */
export async function stream(options: StreamOptions, jobsAtOnce: number): Promise<void> {
  const client = await attach(options.mesh, options.random)
  const lane = async (random: Random): Promise<void> => {
    while (!options.signal.aborted) {
      const plan = drawPlan(random)
      const { isAccepted } =
        plan.kind === 'left' ? await leave(options, client, plan) : await finish(options, client, plan)
      if (!isAccepted) await sleep(refusedMs)
    }
  }
  const lanes = Array.from({ length: jobsAtOnce }, (_, at) => lane(options.random.fork(`lane ${at}`)))
  await Promise.all(lanes)
  await client.close()
}

/** Any node may be down at the moment, so all of them are named, each client's in its own order. */
export function attach({ key, addresses }: ChaosMesh, random: Random): Promise<Client> {
  const from = random.below(addresses.length)
  const peers = [...addresses.slice(from), ...addresses.slice(0, from)]
  return connect({ key, peers, mdns: false, timeout: 60_000 })
}

async function finish({ book, recoveries }: StreamOptions, client: Client, plan: Plan): Promise<Entry> {
  const inputs = plan.kind === 'pulled' ? pulled(plan.inputs) : plan.inputs
  const job = client.map(task, inputs, { returnErrors: true, name: plan.kind, keepers })
  const entry = book.open(job.id, plan)
  job.accepted.then(
    () => {
      entry.isAccepted = true
    },
    () => {}
  )
  await read(entry, job, book, recoveries)
  return entry
}

/** A client of its own hands the job over and goes; the one that stays reads it. */
async function leave(
  { mesh, random, book, recoveries }: StreamOptions,
  reader: Client,
  plan: Plan
): Promise<Entry> {
  const client = await attach(mesh, random)
  const job = client.map(task, plan.inputs, { returnErrors: true, name: plan.kind, keepers })
  const entry = book.open(job.id, plan)
  job.catch(() => {})
  try {
    await job.accepted
    entry.isAccepted = true
  } catch (error) {
    entry.isEnded = true
    entry.refusal = String(error)
  }
  await client.close()
  if (entry.isAccepted)
    await read(entry, reader.job<Output>(entry.id, { returnErrors: true }), book, recoveries)
  return entry
}

/** Never rejects: a job that ends with an error is noted as refused. */
export async function read(
  entry: Entry,
  job: JobHandle<Output>,
  book: Book,
  recoveries?: Recoveries,
  seen = new Set<number>()
): Promise<void> {
  try {
    for await (const result of job.asCompleted()) {
      book.judge(entry, result, seen)
      if (result.error === undefined) recoveries?.came(`${entry.id}:${result.index}`, result.value.endedAt)
    }
  } catch (error) {
    entry.refusal = String(error)
  }
  entry.isEnded = true
}
