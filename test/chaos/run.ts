/**
 * One chaos run: a mesh, three clients, faults until the time is over, then the reckoning.
 *
 * Not here: arguments and exit codes (main.ts). `lost` counts tasks that were accepted and have no result when all nodes are well
 * again, whoever asks for them; `stuck` counts jobs that were still waiting then; `wrong` also counts a task with two outcomes.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { seededRandom } from '../../src/random.ts'
import { inflict } from './faults.ts'
import { ChaosMesh } from './nodes.ts'
import { percentile, Recoveries, recoveryBudget } from './recovery.ts'
import { attach, Book, read, stream } from './stream.ts'
import type { Output } from './work.ts'

const clients = 3
/** Jobs of one client at a time. */
const jobsAtOnce = 3
/** With all nodes well again, everything ends within this time or is stuck. */
const patienceMs = 60_000
/** Jobs that are read again at the same time. */
const readersAtOnce = 8

export interface ChaosOptions {
  readonly seconds: number
  readonly nodes: number
  readonly seed: number
  readonly say: (text: string) => void
  /** Leaves the folder with data and logs, and says where. */
  readonly keep?: boolean
}

export interface ChaosSummary {
  readonly jobs: number
  readonly tasks: number
  readonly kills: number
  readonly pauses: number
  /** How often the sockets of a node were reset. */
  readonly cuts: number
  readonly powerCuts: number
  readonly lost: number
  readonly wrong: number
  readonly duplicatesDelivered: number
  readonly stuck: number
  /** Kills of which it was measured how long their work stood still, while all other nodes were well. */
  readonly measured: number
  /** Null if no kill could be measured. */
  readonly p50RecoveryMs: number | null
  readonly p99RecoveryMs: number | null
}

export async function runChaos({
  seconds,
  nodes,
  seed,
  say,
  keep = false
}: ChaosOptions): Promise<ChaosSummary> {
  const random = seededRandom(seed)
  const mesh = await ChaosMesh.start(nodes, 1)
  const book = new Book()
  const recoveries = new Recoveries(say)
  const over = new AbortController()
  try {
    const { signal } = over
    const streams = Array.from({ length: clients }, (_, at) =>
      stream({ mesh, book, recoveries, random: random.fork(`client ${at}`), signal }, jobsAtOnce)
    )
    const faults = await inflict({ mesh, random: random.fork('faults'), recoveries, seconds, say })
    over.abort()
    await mesh.heal()
    say(`all nodes are well; ${book.entries.filter(({ isEnded }) => !isEnded).length} jobs are to end`)
    await within(patienceMs, Promise.all(streams))
    const stuck = book.entries.filter(({ isEnded }) => !isEnded)
    for (const { id, plan, tokens } of stuck)
      say(`${plan.kind} job ${id} is stuck with ${tokens.size} of ${plan.inputs.length} results`)
    await within(patienceMs, readAgain(mesh, book))
    const lost = reckon(book, say)
    for (const text of [...book.complaints, ...mesh.crashes.map((name) => `${name} ended by itself`)])
      say(text)
    const { kills, pauses, cuts, powerCuts } = faults
    report(recoveries, cuts, say)
    return {
      jobs: book.entries.length,
      tasks: book.entries.reduce((sum, { plan }) => sum + plan.inputs.length, 0),
      kills,
      pauses,
      cuts,
      powerCuts,
      lost,
      wrong: book.wrong + mesh.crashes.length,
      duplicatesDelivered: book.duplicates,
      stuck: stuck.length,
      measured: recoveries.alone.length,
      p50RecoveryMs: rounded(percentile(recoveries.alone, 0.5)),
      p99RecoveryMs: rounded(percentile(recoveries.alone, 0.99))
    }
  } finally {
    over.abort()
    await mesh.close(keep)
    if (keep) say(`data and logs are in ${mesh.folder}`)
  }
}

/** What a run may not end with, in words; the exit code of the command is 0 if there is none. */
export function faultsOf(summary: ChaosSummary): string[] {
  const { measured, p50RecoveryMs, p99RecoveryMs } = summary
  const { leastMeasured, p50Ms, p99Ms } = recoveryBudget
  const found = (['lost', 'wrong', 'duplicatesDelivered', 'stuck'] as const)
    .filter((kind) => summary[kind] > 0)
    .map((kind) => `${kind}: ${summary[kind]}`)
  if (measured < leastMeasured) return found
  const limits = [
    ['p50', p50RecoveryMs ?? 0, p50Ms],
    ['p99', p99RecoveryMs ?? 0, p99Ms]
  ] as const
  for (const [name, ms, most] of limits)
    if (ms >= most)
      found.push(
        `work of killed nodes stood still for ${ms} ms (${name} of ${measured}); under ${most} ms is promised`
      )
  return found
}

/** Every accepted job once more, by clients that did not make it: the same results, by their tokens. */
async function readAgain(mesh: ChaosMesh, book: Book): Promise<void> {
  const rest = book.entries.filter(({ isAccepted }) => isAccepted)
  const reader = async (at: number): Promise<void> => {
    const client = await attach(mesh, seededRandom(at))
    for (let entry = rest.pop(); entry !== undefined; entry = rest.pop()) {
      await read(
        entry,
        client.job<Output>(entry.id, { returnErrors: true }),
        book,
        undefined,
        entry.readAgain
      )
    }
    await client.close()
  }
  await Promise.all(Array.from({ length: readersAtOnce }, (_, at) => reader(at)))
}

function reckon(book: Book, say: (text: string) => void): number {
  let lost = 0
  let refused = 0
  for (const { id, plan, isAccepted, refusal, readAgain } of book.entries) {
    const missing = plan.inputs.length - readAgain.size
    if (missing === 0) continue
    if (isAccepted) lost += missing
    else refused++
    say(`${plan.kind} job ${id}: ${missing} without result, ${isAccepted ? '' : 'not '}accepted (${refusal})`)
  }
  if (refused > 0) say(`${refused} jobs were refused with an error, and not accepted`)
  return lost
}

function report(
  { alone, amongOthers, idle, unmeasured }: Recoveries,
  cuts: number,
  say: (text: string) => void
): void {
  const text = (values: readonly number[]): string =>
    values.length === 0
      ? 'none'
      : `${values.length}, p50 ${rounded(percentile(values, 0.5))} ms, longest ${Math.round(Math.max(...values))} ms`
  say(`recoveries while all others were well: ${text(alone)}; while others were away: ${text(amongOthers)}`)
  say(
    `${idle} killed nodes held nothing, ${unmeasured} could not be measured; sockets were reset ${cuts} times`
  )
}

const rounded = (ms: number | undefined): number | null => (ms === undefined ? null : Math.round(ms))

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const late = new AbortController()
  await Promise.race([work, sleep(ms, undefined, { signal: late.signal }).catch(() => {})])
  late.abort()
}
