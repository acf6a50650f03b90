/**
 * How fast does data go in and out? Beside it what a bare libp2p stream carries to another process.
 *
 * Not here: what small values cost (overhead.ts).
 * The stream neither hashes nor writes to a disk. All is on one machine, so chunks are handed over by files (src/node/near.ts); a
 * stream of as many bytes is what they would take between machines, once for each copy.
 */
import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Stream } from '@libp2p/interface'
import { writeKey } from '../src/index.ts'
import type { DataClientArguments, Speeds } from './data-client.ts'
import { SINK_PROTOCOL, sinkBytes } from './echo.ts'
import { type Answer, median, type Question, round, type Settings, timed } from './measure.ts'
import { type Mesh, startMesh } from './nodes.ts'
import { builtProgram } from './package.ts'
import { openRaw } from './raw.ts'
import { scratch } from './scratch.ts'

const MIB = 2 ** 20
const bytes = 32 * MIB
const rounds = 5
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
  await using client = await startClient(mesh)
  const all: (Speeds & { readonly raw: number })[] = []
  const warmUntil = performance.now() + warmUpMs
  for (let left = rounds; left > 0; ) {
    const isWarm = performance.now() > warmUntil
    const content = randomBytes(bytes)
    const { ms } = await timed(() => pour(raw.stream, content))
    all.push({ raw: speed(bytes, ms), ...(await client.round()) })
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

interface DataClient extends AsyncDisposable {
  round(): Promise<Speeds>
}

async function startClient({ key, nodes }: Mesh): Promise<DataClient> {
  const keyFile = join(scratch(), 'data.key')
  await writeKey(keyFile, key)
  const options: DataClientArguments = { keyFile, peers: nodes[0]?.addresses ?? [], bytes, tasks }
  const child = fork(await builtProgram('bench-data'), [JSON.stringify(options)])
  const ended = once(child, 'exit').then(([code]) =>
    Promise.reject(new Error(`the client ended with ${code}`))
  )
  ended.catch(() => {})
  const said = async (): Promise<unknown> => (await Promise.race([once(child, 'message'), ended]))[0]
  await said()
  return {
    async round() {
      child.send('round')
      return (await said()) as Speeds
    },
    async [Symbol.asyncDispose]() {
      if (child.connected) child.disconnect()
      await ended.catch(() => {})
    }
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

/** MB/s. */
const speed = (count: number, ms: number): number => count / 1e3 / ms
