/**
 * Answers questions about the mesh: asks every node, waits a little, and puts the answers together.
 *
 * Not here: what a node says of itself (core.ts). Nobody holds the whole picture, so it is made when somebody asks.
 * A node that does not answer in time is left out, and the answer says how many were.
 */
import type { JobSummary } from '../client/answers.ts'
import type { EntryMessage } from '../client/protocol.ts'
import type { ClientId, JobId, PeerId } from '../ids.ts'
import { earlier, type Millis } from '../machine.ts'

/** How long nodes are waited for. */
const answerWithinMs = 2_000
/** Questions open at once; the oldest is answered with what is there. */
const questionsMax = 256

/** What a node says of one shard that it keeps: index in the job, tasks, outcomes that it has accepted. */
export type ShardReport = readonly [index: number, count: number, done: number]

/** Of those outcomes, the failures and the cancellations. */
export type BadEnds = readonly [index: number, failed: number, cancelled: number]

export interface JobReport {
  readonly job: JobId
  readonly name: string
  readonly submittedAt: number
  /** Number of shards, 0 while more may come. */
  readonly shards: number
  readonly parts: readonly ShardReport[]
  /** Only of shards with tasks that ended so. */
  readonly bad?: readonly BadEnds[]
}

interface KnownShard {
  readonly part: ShardReport
  readonly bad: BadEnds | undefined
}

/** What the client is told, from what nodes said and how many said nothing. */
export type Merge = (said: readonly unknown[], silent: number) => unknown

interface Question {
  readonly client: ClientId
  readonly clientAsk: number
  readonly merge: Merge
  readonly open: Set<PeerId>
  readonly answers: unknown[]
  readonly until: Millis
}

export interface Ask {
  readonly kind: 'send'
  readonly to: PeerId
  readonly message: {
    readonly kind: 'ask'
    readonly ask: number
    readonly what: string
    readonly about: string
  }
}

export interface Answer {
  readonly kind: 'reply'
  readonly client: ClientId
  readonly message: EntryMessage
}

export class Inquiry {
  readonly #questions = new Map<number, Question>()
  #next = 0

  /** Asks `peers`, and this node itself by `report`. */
  begin(
    {
      client,
      ask: clientAsk,
      what,
      about,
      merge
    }: {
      readonly client: ClientId
      readonly ask: number
      readonly what: string
      readonly about: string
      readonly merge: Merge
    },
    self: PeerId,
    peers: readonly PeerId[],
    report: string,
    now: Millis
  ): (Ask | Answer)[] {
    const ask = ++this.#next
    const until = now + answerWithinMs
    const open = new Set([self, ...peers])
    this.#questions.set(ask, { client, clientAsk, merge, open, answers: [], until })
    const asks = peers.map((to): Ask => ({ kind: 'send', to, message: { kind: 'ask', ask, what, about } }))
    return [...asks, ...this.told(self, ask, report)]
  }

  told(from: PeerId, ask: number, json: string): Answer[] {
    const question = this.#questions.get(ask)
    if (question === undefined || !question.open.delete(from)) return []
    try {
      question.answers.push(JSON.parse(json))
    } catch {
      // A node of another version; the others' answers still count.
    }
    return question.open.size === 0 ? [this.#conclude(ask, question)] : []
  }

  peerDown(peer: PeerId): Answer[] {
    const done = [...this.#questions].filter(([, { open }]) => open.delete(peer) && open.size === 0)
    return done.map(([ask, question]) => this.#conclude(ask, question))
  }

  wake(now: Millis): Answer[] {
    const due = [...this.#questions].filter(
      ([, { until }], at) => now >= until || this.#questions.size - at > questionsMax
    )
    return due.map(([ask, question]) => this.#conclude(ask, question))
  }

  wakeAt(): Millis | undefined {
    let at: Millis | undefined
    for (const { until } of this.#questions.values()) at = earlier(at, until)
    return at
  }

  #conclude(ask: number, { client, clientAsk, merge, answers, open }: Question): Answer {
    this.#questions.delete(ask)
    const value = merge(answers, open.size)
    const json = JSON.stringify({ value, silent: open.size })
    return { kind: 'reply', client, message: { kind: 'answer', ask: clientAsk, json } }
  }
}

/** Of each shard, what the keeper says that knows most; newest job first. What is no report is left out. */
export function mergeJobs(said: readonly unknown[]): JobSummary[] {
  const reports = said.filter(isReport)
  const jobs = new Map<JobId, { report: JobReport; parts: Map<number, KnownShard> }>()
  for (const report of reports) {
    const found = jobs.get(report.job) ?? { report, parts: new Map() }
    if (report.name !== '' && found.report.name === '') found.report = report
    found.report = { ...found.report, shards: Math.max(found.report.shards, report.shards) }
    const bad = new Map(report.bad?.map((one) => [one[0], one]))
    for (const part of report.parts) {
      const old = found.parts.get(part[0])
      if (old === undefined || part[2] > old.part[2])
        found.parts.set(part[0], { part, bad: bad.get(part[0]) })
    }
    jobs.set(report.job, found)
  }
  const summaries = [...jobs.values()].map(({ report, parts }): JobSummary => {
    const all = [...parts.values()]
    return {
      id: report.job,
      name: report.name,
      submittedAt: report.submittedAt,
      tasks: all.reduce((sum, { part: [, count] }) => sum + count, 0),
      done: all.reduce((sum, { part: [, , done] }) => sum + done, 0),
      failed: all.reduce((sum, { bad }) => sum + (bad?.[1] ?? 0), 0),
      cancelled: all.reduce((sum, { bad }) => sum + (bad?.[2] ?? 0), 0),
      isClosed: report.shards > 0 && parts.size >= report.shards
    }
  })
  return summaries.sort((a, b) => b.submittedAt - a.submittedAt)
}

export const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

function isReport(value: unknown): value is JobReport {
  if (!isObject(value)) return false
  const {
    job,
    name,
    submittedAt,
    shards,
    parts,
    bad = []
  } = value as Partial<Record<keyof JobReport, unknown>>
  const areTriples = (rows: unknown): boolean =>
    Array.isArray(rows) &&
    rows.every((row) => Array.isArray(row) && row.length === 3 && row.every((one) => Number.isFinite(one)))
  return (
    typeof job === 'string' &&
    typeof name === 'string' &&
    Number.isFinite(submittedAt) &&
    Number.isFinite(shards) &&
    areTriples(parts) &&
    areTriples(bad)
  )
}
