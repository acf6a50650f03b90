/**
 * How long does one task take, asked for alone? Beside it the least that it could: one echo over the same kind of connection.
 *
 * Not here: many tasks at a time (overhead.ts).
 * The echo is one hop there and one back; a task makes three times as many, and is written to disks on the way.
 */
import type { Stream } from '@libp2p/interface'
import { type Client, connect } from '../src/index.ts'
import { ECHO_PROTOCOL } from './echo.ts'
import { type Answer, median, percentile, type Question, round, type Settings, timed } from './measure.ts'
import { startMesh } from './nodes.ts'
import { profiled } from './profile.ts'
import { openRaw, type Raw } from './raw.ts'

const tasks = 500
const rounds = 3
const warmups = 500
const echoBytes = 64
const budget = { p50MsMax: 2 }

export const latency: Question = {
  name: 'latency',
  asks: `How long does one task take, ${tasks} of them one after the other?`,
  answer
}

async function answer({ profiles, say }: Settings): Promise<Answer> {
  await using echo = await openRaw(ECHO_PROTOCOL)
  await echoes(echo.stream, warmups)
  // The usual mesh, where every node has an engine; then an entry that only coordinates: two hops more.
  const usual = await measure([1, 1, 1], echo, say, profiles)
  const remote = await measure([0, 1, 1], echo, say, undefined)
  const p50Ms = usual.of(0.5)
  return {
    question: 'latency',
    tasks,
    rounds,
    p50Ms,
    p95Ms: usual.of(0.95),
    p99Ms: usual.of(0.99),
    entryWithoutEngineP50Ms: remote.of(0.5),
    entryWithoutEngineP99Ms: remote.of(0.99),
    echoP50Ms: usual.echoP50Ms,
    ratio: round(p50Ms / usual.echoP50Ms, 1),
    budget,
    ok: p50Ms <= budget.p50MsMax
  }
}

interface Measured {
  /** Milliseconds below which this share of the round trips stayed; the median of the rounds. */
  readonly of: (share: number) => number
  readonly echoP50Ms: number
}

/** The client is attached to the first node. */
async function measure(
  slots: readonly number[],
  echo: Raw,
  say: Settings['say'],
  profiles: Settings['profiles']
): Promise<Measured> {
  await using mesh = await startMesh(slots)
  const { key, nodes } = mesh
  await using client = await connect({ key, peers: nodes[0]?.addresses ?? [], mdns: false })
  await submits(client, warmups)
  const all: { task: number[]; echo: number[] }[] = []
  for (let at = 0; at < rounds; at++) {
    all.push({ task: await submits(client, tasks), echo: await echoes(echo.stream, tasks) })
    say(`slots ${slots.join('+')}, round ${at + 1}: ${round(percentile(all[at]?.task ?? [], 0.5), 2)} ms`)
  }
  await profiled(profiles, 'latency', nodes, async () => {
    await submits(client, tasks * rounds)
  })
  return {
    of: (share) => round(median(all.map(({ task }) => percentile(task, share))), 2),
    echoP50Ms: round(median(all.map(({ echo }) => percentile(echo, 0.5))), 3)
  }
}

const same = (input: number): number => input

/** Milliseconds of each. */
async function submits(client: Client, count: number): Promise<number[]> {
  const samples: number[] = []
  for (let at = 0; at < count; at++) {
    const { ms, value } = await timed(async () => await client.submit(same, [at]))
    if (value !== at) throw new Error(`${value} instead of ${at}`)
    samples.push(ms)
  }
  return samples
}

/** Milliseconds of each. */
async function echoes(stream: Stream, count: number): Promise<number[]> {
  const message = new Uint8Array(echoBytes)
  let have = 0
  let arrived = (): void => {}
  const listener = ({ data }: { data: { byteLength: number } }): void => {
    have += data.byteLength
    if (have >= echoBytes) arrived()
  }
  stream.addEventListener('message', listener)
  const samples: number[] = []
  for (let at = 0; at < count; at++) {
    have = 0
    const { ms } = await timed(
      () =>
        new Promise<void>((resolve) => {
          arrived = resolve
          stream.send(message)
        })
    )
    samples.push(ms)
  }
  stream.removeEventListener('message', listener)
  return samples
}
