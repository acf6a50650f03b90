/**
 * What does one task cost that does nothing? Tasks per second through a mesh, and beside it through a plain thread pool.
 *
 * Not here: tasks that work, or that move many bytes.
 * Both sides run by turns on the same machine in the same minute, so that their ratio means something where neither number does.
 */
import { join } from 'node:path'
import { Piscina } from 'piscina'
import { type Client, connect } from '../src/index.ts'
import { type Answer, median, type Question, round, type Settings, sum, timed } from './measure.ts'
import { cpuMicros, type NodeProcess, startMesh, usages } from './nodes.ts'
import { profiled } from './profile.ts'

const tasks = 10_000
const rounds = 7
const budget = { tasksPerSecondMin: 20_000, ratioMin: 0.8 }

export const overhead: Question = {
  name: 'overhead',
  asks: `What do ${tasks.toLocaleString('en')} tasks cost that do nothing, on an entry and two engines?`,
  answer
}

interface Round {
  readonly mesh: number
  readonly piscina: number
  readonly micros: number
  readonly piscinaMicros: number
  readonly client: number
  readonly nodes: readonly number[]
}

async function answer({ profiles, say }: Settings): Promise<Answer> {
  await using mesh = await startMesh([0, 1, 1])
  const { key, nodes } = mesh
  await using client = await connect({ key, peers: nodes[0]?.addresses ?? [], mdns: false })
  const pool = new Piscina({ filename: join(import.meta.dirname, 'noop.ts'), minThreads: 2, maxThreads: 2 })
  const inputs = Array.from({ length: tasks }, (_, index) => index)
  await throughMesh(client, inputs)
  await throughPiscina(pool, inputs)
  const all: Round[] = []
  for (let at = 0; at < rounds; at++) {
    all.push(await one(client, nodes, pool, inputs))
    say(`round ${at + 1}: ${round(all[at]?.mesh ?? 0)} and ${round(all[at]?.piscina ?? 0)} tasks/s`)
  }
  await pool.close()
  await profiled(profiles, 'overhead', nodes, async () => {
    for (let at = 0; at < rounds; at++) await throughMesh(client, inputs)
  })
  const of = (field: (one: Round) => number): number => median(all.map(field))
  const tasksPerSecond = round(of(({ mesh }) => mesh))
  const piscinaTasksPerSecond = round(of(({ piscina }) => piscina))
  const ratio = round(tasksPerSecond / piscinaTasksPerSecond, 2)
  return {
    question: 'overhead',
    tasks,
    rounds,
    tasksPerSecond,
    cpuMicrosPerTask: round(
      of(({ micros }) => micros),
      1
    ),
    clientCpuMicrosPerTask: round(
      of(({ client }) => client),
      1
    ),
    nodesCpuMicrosPerTask: nodes.map((_, at) =>
      round(
        of((one) => one.nodes[at] ?? 0),
        1
      )
    ),
    piscinaTasksPerSecond,
    piscinaCpuMicrosPerTask: round(
      of(({ piscinaMicros }) => piscinaMicros),
      1
    ),
    ratio,
    budget,
    ok: tasksPerSecond >= budget.tasksPerSecondMin && ratio >= budget.ratioMin
  }
}

async function one(
  client: Client,
  nodes: readonly NodeProcess[],
  pool: Piscina,
  inputs: readonly number[]
): Promise<Round> {
  const before = await usages(nodes)
  const mesh = await throughMesh(client, inputs)
  const between = await usages(nodes)
  const piscina = await throughPiscina(pool, inputs)
  const after = process.cpuUsage()
  const perTask = (from: number, to: number): number => (to - from) / tasks
  return {
    mesh,
    piscina,
    micros: perTask(cpuMicros(before), cpuMicros(between)),
    client: perTask(before.own, between.own),
    nodes: between.nodes.map((used, at) => perTask(before.nodes[at]?.cpuMicros ?? 0, used.cpuMicros)),
    piscinaMicros: perTask(between.own, after.user + after.system)
  }
}

const same = (input: number): number => input

/** Tasks per second. */
async function throughMesh(client: Client, inputs: readonly number[]): Promise<number> {
  const { ms, value } = await timed(async () => await client.map(same, inputs))
  return perSecond(inputs, value, ms)
}

/** Tasks per second. */
async function throughPiscina(pool: Piscina, inputs: readonly number[]): Promise<number> {
  const { ms, value } = await timed(() => Promise.all(inputs.map((input) => pool.run(input))))
  return perSecond(inputs, value, ms)
}

function perSecond(inputs: readonly number[], results: readonly number[], ms: number): number {
  if (results.length !== inputs.length || sum(results) !== sum(inputs)) throw new Error('wrong results')
  return (inputs.length / ms) * 1_000
}
