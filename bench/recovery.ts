/**
 * What does it cost to lose a node? Results that are missing or wrong, and how long the stream of results stands still.
 *
 * Not here: faults in every order and combination, which the simulator tries by the thousand (test/sim).
 * Tasks sleep 5 ms, so that each occupies its slot for a time that does not depend on how busy this machine is.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Client, type Completed, connect, type JobHandle } from '../src/index.ts'
import { type Answer, median, type Question, round, type Settings, sum } from './measure.ts'
import { type Mesh, type NodeProcess, startMesh } from './nodes.ts'

const tasks = 2_000
const taskMs = 5
const rounds = 3
/** The node is killed after this share of the results. */
const killAfter = 0.4
/** What has not come by then is lost. */
const patienceMs = 60_000
const budget = { lostMax: 0, longestStallMsMax: 3_000 }

export const recovery: Question = {
  name: 'recovery',
  asks: `What does a killed node cost, 40 % through ${tasks.toLocaleString('en')} tasks of ${taskMs} ms on four nodes?`,
  answer
}

interface Run {
  readonly lost: number
  readonly wrong: number
  readonly stallMs: number
  readonly seconds: number
}

type Case = 'nobody' | 'engine' | 'owner'

async function answer({ say }: Settings): Promise<Answer> {
  const runs: Record<Case, Run[]> = { nobody: [], engine: [], owner: [] }
  for (let at = 0; at < rounds; at++) {
    for (const victim of ['nobody', 'engine', 'owner'] as const) {
      const run = await once(victim)
      runs[victim].push(run)
      const { lost, wrong, stallMs, seconds } = run
      say(
        `round ${at + 1}, ${victim} killed: ${lost} lost, ${wrong} wrong, ${round(stallMs)} ms still, ${seconds} s`
      )
    }
  }
  const secondsWithoutKill = median(runs.nobody.map(({ seconds }) => seconds))
  const engineKilled = { ...summary(runs.engine), secondsWithoutKill }
  const ownerKilled = { ...summary(runs.owner), secondsWithoutKill }
  const isGood = ({ lost, wrong, longestStallMs }: Summary): boolean =>
    lost <= budget.lostMax && wrong === 0 && longestStallMs < budget.longestStallMsMax
  return {
    question: 'recovery',
    tasks,
    taskMs,
    rounds,
    engineKilled,
    ownerKilled,
    longestStallMsWithoutKill: summary(runs.nobody).longestStallMs,
    budget,
    ok: isGood(engineKilled) && isGood(ownerKilled)
  }
}

/** Of all rounds together what is lost and wrong, and the longest stall; the medians of the rest. */
interface Summary {
  readonly lost: number
  readonly wrong: number
  readonly longestStallMs: number
  readonly medianStallMs: number
  readonly seconds: number
}

function summary(runs: readonly Run[]): Summary {
  return {
    lost: sum(runs.map(({ lost }) => lost)),
    wrong: sum(runs.map(({ wrong }) => wrong)),
    longestStallMs: round(Math.max(...runs.map(({ stallMs }) => stallMs))),
    medianStallMs: round(median(runs.map(({ stallMs }) => stallMs))),
    seconds: median(runs.map(({ seconds }) => seconds))
  }
}

/** One job on a fresh mesh: an entry without slots, and three engines with two. */
async function once(victim: Case): Promise<Run> {
  await using mesh = await startMesh([0, 2, 2, 2])
  const { key, nodes } = mesh
  const [entry, engine] = nodes
  if (entry === undefined || engine === undefined) throw new Error('a mesh without nodes')
  await using client = await connect({ key, peers: entry.addresses, mdns: false })
  await client.map(work, [0, 1, 2, 3])
  const start = performance.now()
  const job = client.map(
    work,
    Array.from({ length: tasks }, (_, index) => index)
  )
  if (victim !== 'owner') return await follow(job, start, () => victim === 'engine' && engine.kill())
  await job.accepted
  const owner = await busiest(client, mesh)
  // Its submitter is the hardest to serve: it has to find another entry, and ask it for what it has not seen.
  if (owner === entry) return await follow(job, start, () => owner.kill())
  await using reader = await connect({ key, peers: owner.addresses, mdns: false })
  await client.close()
  return await follow(reader.job<number>(job.id), start, () => owner.kill())
}

async function work(input: number): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 5))
  return input * 3 + 1
}

/** The node that owns most of what is unfinished. */
async function busiest(client: Client, { nodes }: Mesh): Promise<NodeProcess> {
  const { nodes: all } = await client.status()
  const [most] = [...all].sort((a, b) => b.unfinished - a.unfinished)
  const found = nodes.find(({ id }) => id === most?.id)
  if (found === undefined) throw new Error('no node has work')
  return found
}

/** Takes all results and checks each; `kill` is called once, on the way. */
async function follow(job: JobHandle<number>, start: number, kill: () => void): Promise<Run> {
  const arrived = new Set<number>()
  let wrong = 0
  let last = start
  let stallMs = 0
  const take = (one: Completed<number>): void => {
    const now = performance.now()
    stallMs = Math.max(stallMs, now - last)
    last = now
    if (arrived.has(one.index) || !('value' in one) || one.value !== one.index * 3 + 1) wrong++
    arrived.add(one.index)
    if (arrived.size === tasks * killAfter) kill()
  }
  const patience = new AbortController()
  const late = sleep(patienceMs, undefined, { signal: patience.signal }).catch(() => {})
  const all = (async () => {
    for await (const one of job.asCompleted()) take(one)
  })()
  await Promise.race([all, late])
  patience.abort()
  if (arrived.size < tasks) stallMs = Math.max(stallMs, performance.now() - last)
  return { lost: tasks - arrived.size, wrong, stallMs, seconds: round((last - start) / 1_000, 2) }
}
