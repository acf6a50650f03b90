/**
 * The demo: three nodes share a real job, one of them is killed half way, and every result is right.
 *
 * Not here: what is counted (words.ts), how it is submitted and read (submit.ts, read.ts).
 * Everything is a process of its own. The node that dies is the client's entry, and owns more unfinished tasks than any other.
 * Ends with 1 if anything is not so, or takes too long: `node demo.ts [SECONDS]` (default 60).
 */
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type Client, connect, createKey, type NodeStatus, writeKey } from '../../src/index.ts'
import { inputFiles } from './files.ts'
import { plainCount } from './plain.ts'
import type { Reading } from './read.ts'
import type { Report } from './submit.ts'

/** The part of the job after which the client's entry is killed. */
const killAfter = 0.4
const secondsMax = Number(process.argv[2] ?? 60)
/** Between the kill and the end nobody waits longer for a result. */
const resumedMsMax = 10_000
const limitMs = 120_000
/** Exit codes of who is ended by a signal: 128 and its number. */
const interrupted = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

const startedAt = Date.now()
const say = (text: string): void =>
  void process.stderr.write(`${((Date.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${text}\n`)
const fileOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
const folder = await mkdtemp(join(tmpdir(), 'shoal-demo-'))
const children: ChildProcess[] = []

interface DemoNode {
  readonly name: string
  readonly id: string
  readonly address: string
  readonly process: ChildProcess
}

async function startNode(name: string, peers: readonly string[]): Promise<DemoNode> {
  const options = ['--data', join(folder, name), '--slots', '1', '--listen', '/ip4/127.0.0.1/tcp/0', '--json']
  const args = ['up', ...options, ...peers.flatMap((peer) => ['--peer', peer])]
  const child = spawn(process.execPath, [fileOf('../../bin/shoal.js'), ...args], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, SHOAL_KEY: join(folder, 'lab.key') }
  })
  children.push(child)
  const [line] = await once(createInterface({ input: child.stdout }), 'line')
  const { id, addresses } = JSON.parse(line) as { id: string; addresses: string[] }
  const address = addresses[0] as string
  say(`node ${name} is up: process ${child.pid}, ${address}`)
  return { name, id, address, process: child }
}

function startClient(file: string, args: readonly string[]): ChildProcess {
  const child = fork(fileOf(file), args, { env: { ...process.env, SHOAL_KEY: join(folder, 'lab.key') } })
  children.push(child)
  return child
}

/** Waits until every node says that it sees all the others. */
async function untilMeshed(client: Client, count: number): Promise<void> {
  for (;;) {
    const { nodes } = await client.status()
    if (nodes.length === count && nodes.every(({ peers }) => peers === count - 1)) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

interface Run {
  readonly job: string
  readonly entry: string
  readonly tasks: number
  readonly duplicates: number
  readonly words: number
  readonly killed: number
  readonly resumedAfterMs: number
}

const mostUnfinished = (nodes: readonly NodeStatus[]): NodeStatus =>
  nodes.reduce((most, node) => (node.unfinished > most.unfinished ? node : most))

/** The first client's life, and the kill in the middle of it. */
async function run(nodes: readonly DemoNode[], watcher: Client): Promise<Run> {
  const client = startClient(
    './submit.ts',
    nodes.map(({ address }) => address)
  )
  const finished = Promise.withResolvers<Run>()
  let began = { job: '', tasks: 0, entry: '' }
  let killedAt = 0
  let isLooking = false
  let shown = 0
  const nameOf = (id: string): string => nodes.find((node) => node.id === id)?.name ?? id
  const kill = async (done: number): Promise<void> => {
    const entry = nodes.find(({ id }) => id === began.entry)
    const { nodes: now } = await watcher.status()
    // Tasks went on since the client chose it. If another one owns more by now, the next results may change that.
    const { id, unfinished } = mostUnfinished(now)
    if (id !== began.entry || unfinished === 0) return
    killedAt = Date.now()
    const asked = watcher.status()
    entry?.process.kill('SIGKILL')
    const part = Math.round((100 * done) / began.tasks)
    const owned = now.map(({ id, unfinished }) => `${nameOf(id)} ${unfinished}`).join(', ')
    say(
      `killed node ${entry?.name} at ${part} %: the client's entry, and owner of most of what is left (${owned})`
    )
    await asked
  }
  client.on('message', (report: Report) => {
    if (report.kind === 'began') {
      began = report
      const name = nameOf(began.entry)
      say(`job ${began.job}: ${began.tasks} files, one task each, all of them accepted`)
      const owned = report.owned.map(([id, unfinished]) => `${nameOf(id)} ${unfinished}`).join(', ')
      say(`the client goes to node ${name}, which owns most unfinished tasks (${owned})`)
    } else if (report.kind === 'progress') {
      const { done } = report
      if (done >= shown + began.tasks / 10 || done === began.tasks) {
        shown = done
        say(`${done} of ${began.tasks} files counted`)
      }
      if (killedAt > 0 || isLooking || done < began.tasks * killAfter) return
      isLooking = true
      kill(done)
        .catch(finished.reject)
        .finally(() => {
          isLooking = false
        })
    } else {
      const { duplicates, words, arrivals } = report
      const after = arrivals.filter((at) => at >= killedAt)
      const gaps = after.map((at, i) => at - (after[i - 1] ?? killedAt))
      const killed = killedAt > 0 ? 1 : 0
      finished.resolve({ ...began, duplicates, words, killed, resumedAfterMs: Math.max(0, ...gaps) })
    }
  })
  client.once('exit', (code) =>
    finished.reject(new Error(`the client ended with ${code} before its job did`))
  )
  return finished.promise
}

async function main(): Promise<number> {
  await writeKey(join(folder, 'lab.key'), createKey())
  const first = await startNode('A', [])
  const others = await Promise.all([startNode('B', [first.address]), startNode('C', [first.address])])
  const nodes = [first, ...others]
  await using watcher = await connect({ key: join(folder, 'lab.key'), peers: [others[0].address] })
  await untilMeshed(watcher, 3)
  say('three nodes see each other')
  const { job, entry, tasks, duplicates, words, killed, resumedAfterMs } = await run(nodes, watcher)
  const other = nodes.find(({ id }) => id !== entry) as DemoNode
  say('the job is complete; a second client, at another node, reads it by its id')
  const reader = startClient('./read.ts', [job, other.address])
  const [reading] = (await once(reader, 'message')) as [Reading]
  say('counts the same files without a mesh')
  const plain = Object.entries(plainCount(inputFiles()))
  const totals = new Map(reading.totals)
  const plainWords = plain.reduce((sum, [, count]) => sum + count, 0)
  const differing = plain.filter(([word, count]) => totals.get(word) !== count).length
  const wrong = differing + Math.abs(totals.size - plain.length) + (words === plainWords ? 0 : 1)
  const seconds = Number(((Date.now() - startedAt) / 1000).toFixed(1))
  say(`${plainWords} words, ${plain.length} different stems, ${wrong} of them wrong`)
  const summary = {
    nodes: nodes.length,
    killed,
    tasks,
    lost: tasks - reading.results,
    wrong,
    duplicatesDelivered: duplicates,
    resumedAfterMs,
    seconds
  }
  console.log(JSON.stringify(summary))
  const isRight = killed === 1 && tasks > 0 && summary.lost === 0 && wrong === 0 && duplicates === 0
  const isQuick = resumedAfterMs > 0 && resumedAfterMs <= resumedMsMax && seconds < secondsMax
  if (!isQuick) say(`not in time: ${secondsMax} s in all, and ${resumedMsMax} ms after the kill, are allowed`)
  return isRight && isQuick ? 0 : 1
}

let cleaned: Promise<void> | undefined
/** Ends what was started here, also meanwhile, and removes what it left. */
async function clean(): Promise<void> {
  const alive = children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)
  const gone = alive.map((child) => once(child, 'exit'))
  for (const child of alive) child.kill('SIGKILL')
  await Promise.all(gone)
  if (alive.length > 0) return clean()
  rmSync(folder, { recursive: true, force: true })
}

function stop(why: string, code: number): void {
  say(why)
  cleaned ??= clean()
  void cleaned.finally(() => process.exit(code))
}

for (const [signal, code] of Object.entries(interrupted))
  process.on(signal, () => stop(`ends because of ${signal}`, code))
const late = setTimeout(() => stop(`gave up after ${limitMs / 1000} s`, 1), limitMs)
try {
  process.exitCode = await main()
} finally {
  clearTimeout(late)
  cleaned ??= clean()
  await cleaned
}
