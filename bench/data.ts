/**
 * How fast does data go in and out? Beside it what a bare libp2p stream carries to another process.
 *
 * Not here: what small values cost (overhead.ts).
 * The stream neither hashes nor writes to a disk. All is on one machine, so chunks are handed over by files (src/node/near.ts); a
 * stream of as many bytes is what they would take between machines, once for each copy.
 */
import { randomBytes } from 'node:crypto'
import type { Stream } from '@libp2p/interface'
import { type Client, connect } from '../src/index.ts'
import { SINK_PROTOCOL, sinkBytes } from './echo.ts'
import { type Answer, median, type Question, round, type Settings, timed } from './measure.ts'
import { startMesh } from './nodes.ts'
import { openRaw } from './raw.ts'

const MIB = 2 ** 20
const bytes = 32 * MIB
const rounds = 3
/** Until what the first rounds put is gone, and its files are written over by what comes. */
const warmUpMs = 20_000
const tasks = 100
/** Messages that the far end has not answered. */
const aheadMax = 4
const budget = { putRatioMin: 0.5, getRatioMin: 0.5, tasksRatioMin: 0.5 }

export const data: Question = {
  name: 'data',
  asks: `How many MB/s by put, by get, and through ${tasks} tasks with 1 MiB in and 1 MiB out?`,
  answer
}

async function answer({ say }: Settings): Promise<Answer> {
  await using raw = await openRaw(SINK_PROTOCOL)
  await using mesh = await startMesh([1, 1, 1])
  await using client = await connect({ key: mesh.key, peers: mesh.nodes[0]?.addresses ?? [], mdns: false })
  const all: Record<'raw' | 'put' | 'putThrice' | 'get' | 'tasks', number>[] = []
  const warmUntil = performance.now() + warmUpMs
  for (let left = rounds; left > 0; ) {
    const isWarm = performance.now() > warmUntil
    const content = randomBytes(bytes)
    const rawMs = (await timed(() => pour(raw.stream, content))).ms
    const put = await timed(() => client.put(content, { keepers: 1 }))
    const got = await timed(() => client.get(put.value))
    if (!content.equals(got.value)) throw new Error('other bytes came back')
    const thrice = await timed(() => client.put(randomBytes(bytes)))
    const worked = await work(client)
    await client.free(put.value, thrice.value)
    all.push({
      raw: speed(bytes, rawMs),
      put: speed(bytes, put.ms),
      putThrice: speed(bytes, thrice.ms),
      get: speed(bytes, got.ms),
      tasks: worked
    })
    const shown = JSON.stringify(all.at(-1), (_, value) => (Number.isFinite(value) ? round(value) : value))
    say(`${isWarm ? 'measured' : 'warm-up'}: ${shown}`)
    if (isWarm) left--
  }
  const of = (name: keyof (typeof all)[number]): number => median(all.slice(-rounds).map((one) => one[name]))
  const ratio = (name: keyof (typeof all)[number]): number =>
    round(median(all.slice(-rounds).map((one) => one[name] / one.raw)), 2)
  const ratios = { putRatio: ratio('put'), getRatio: ratio('get'), tasksRatio: ratio('tasks') }
  return {
    question: 'data',
    mebibytes: bytes / MIB,
    rounds,
    rawMBPerSecond: round(of('raw')),
    putMBPerSecond: round(of('put')),
    putThreeCopiesMBPerSecond: round(of('putThrice')),
    getMBPerSecond: round(of('get')),
    tasksMBPerSecond: round(of('tasks')),
    tasksInWarmUpMBPerSecond: round(median(all.slice(0, -rounds).map((one) => one.tasks))),
    ...ratios,
    budget,
    ok: Object.values(ratios).every((one) => one >= 0.5)
  }
}

/** Sends it, and waits until all of it was swallowed. */
async function pour(stream: Stream, content: Uint8Array): Promise<void> {
  const count = content.byteLength / sinkBytes
  let answered = 0
  let more = Promise.withResolvers<void>()
  const heard = ({ data: answers }: { data: { byteLength: number } }): void => {
    answered += answers.byteLength
    more.resolve()
    more = Promise.withResolvers()
  }
  stream.addEventListener('message', heard)
  for (let sent = 0; answered < count; ) {
    while (sent < count && sent - answered < aheadMax) {
      stream.send(content.subarray(sent * sinkBytes, (sent + 1) * sinkBytes))
      sent++
    }
    await more.promise
  }
  stream.removeEventListener('message', heard)
}

/** MB/s of inputs and outputs together. */
async function work(client: Client): Promise<number> {
  const inputs = Array.from({ length: tasks }, () => new Uint8Array(randomBytes(MIB)))
  const { ms, value } = await timed(async () => {
    const job = client.map((input: Uint8Array) => input.reverse(), inputs)
    const outputs = await job
    await job.release()
    return outputs
  })
  for (const [at, output] of value.entries())
    if (output[0] !== inputs[at]?.at(-1)) throw new Error(`a wrong output of task ${at}`)
  return speed(2 * tasks * MIB, ms)
}

/** MB/s. */
const speed = (count: number, ms: number): number => count / 1e3 / ms
