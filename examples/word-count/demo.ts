/**
 * The demo: three nodes share a real job, one of them is killed half way, and every result is right.
 *
 * Not here: what is counted (words.ts), how it is submitted and read (submit.ts, read.ts).
 * Everything is a process of its own. The node that dies is the client's entry and owns more unfinished tasks than any other.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type Client, connect, createKey, writeKey } from '../../src/index.ts'
import { inputFiles } from './files.ts'
import { plainCount } from './plain.ts'
import type { Reading } from './read.ts'
import type { Report } from './submit.ts'

/** Parts of the job between which the entry is killed: as soon as it owns most, and in any case at the later one. */
const killBetween = { early: 0.38, late: 0.55 }
const limitMs = 120_000

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
  readonly tasks: number
  readonly duplicates: number
  readonly words: number
  readonly killed: number
  readonly resumedAfterMs: number
}

/** The first client's life, and the kill in the middle of it. */
async function run(nodes: readonly DemoNode[], watcher: Client): Promise<Run> {
  const [entry] = nodes as [DemoNode]
  const client = startClient(
    './submit.ts',
    nodes.map(({ address }) => address)
  )
  const finished = Promise.withResolvers<Run>()
  let job = ''
  let tasks = 0
  let killedAt = 0
  let isAsking = false
  let shown = 0
  const kill = (owned: string): void => {
    if (killedAt > 0) return
    killedAt = Date.now()
    entry.process.kill('SIGKILL')
    say(`killed node ${entry.name}, the client's entry (unfinished tasks by owner: ${owned})`)
  }
  const consider = async (done: number): Promise<void> => {
    if (killedAt > 0 || isAsking || done < tasks * killBetween.early) return
    isAsking = true
    const { nodes: reports } = await watcher.status()
    const owned = new Map(reports.map(({ id, unfinished }) => [id, unfinished]))
    const text = nodes.map(({ name, id }) => `${name} ${owned.get(id) ?? '?'}`).join(', ')
    const isMost = reports.every(({ unfinished }) => unfinished <= (owned.get(entry.id) ?? 0))
    if (isMost || done >= tasks * killBetween.late) kill(text)
    isAsking = false
  }
  client.on('message', (report: Report) => {
    if (report.kind === 'began') {
      job = report.job
      tasks = report.tasks
      say(`job ${job}: ${tasks} files, one task each`)
    } else if (report.kind === 'progress') {
      if (report.done >= shown + tasks / 10 || report.done === tasks) {
        shown = report.done
        say(`${report.done} of ${tasks} files counted`)
      }
      consider(report.done).catch(finished.reject)
    } else {
      const { duplicates, words, arrivals } = report
      const after = arrivals.filter((at) => at >= killedAt)
      const gaps = after.map((at, i) => at - (after[i - 1] ?? killedAt))
      const killed = killedAt > 0 ? 1 : 0
      finished.resolve({ job, tasks, duplicates, words, killed, resumedAfterMs: Math.max(0, ...gaps) })
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
  const { job, tasks, duplicates, words, killed, resumedAfterMs } = await run(nodes, watcher)
  say('the job is complete; a second client, at another node, reads it by its id')
  const reader = startClient('./read.ts', [job, others[1].address])
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
  return killed === 1 && tasks > 0 && summary.lost === 0 && wrong === 0 && duplicates === 0 ? 0 : 1
}

const late = setTimeout(() => {
  say(`gave up after ${limitMs / 1000} s`)
  for (const child of children) child.kill('SIGKILL')
  process.exit(1)
}, limitMs)
try {
  process.exitCode = await main()
} finally {
  clearTimeout(late)
  for (const child of children) if (child.exitCode === null) child.kill('SIGKILL')
  await rm(folder, { recursive: true, force: true })
}
