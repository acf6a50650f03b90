/**
 * Tasks that run at most once, on real nodes that lose their engines.
 *
 * Not here: every order of messages (the simulator). Each run leaves a line in a file, which nobody else can write.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createKey, createNode, type Node, TaskError } from '../../src/index.ts'

vi.setConfig({ testTimeout: 30_000 })

const key = createKey()
let folder = ''
let nodes: Node[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-once-'))
  for (const slots of [0, 1, 1, 1]) {
    const peers = nodes.slice(0, 1).flatMap(({ addresses }) => addresses)
    nodes.push(
      await createNode({ key, slots, listen: ['/ip4/127.0.0.1/tcp/0'], peers, mdns: false, onNote: () => {} })
    )
  }
  while (!(await allSeeAll())) await sleep(25)
})
afterEach(async () => {
  await Promise.all(nodes.map((node) => node.stop()))
  nodes = []
  await rm(folder, { recursive: true })
})

const first = (): Node => nodes[0] as Node
async function allSeeAll(): Promise<boolean> {
  const { nodes: all } = await first().client.status()
  return all.length === nodes.length && all.every(({ peers }) => peers === nodes.length - 1)
}

/** Leaves a line, then works for as long as it is told, or ends its engine. */
const mark = async (path: string, ms: number): Promise<string> => {
  process.getBuiltinModule('node:fs').appendFileSync(path, 'run\n')
  if (ms < 0) process.exit(3)
  await new Promise((resolve) => setTimeout(resolve, ms))
  return 'done'
}
const runsOf = (path: string): number => readFileSync(path, 'utf8').split('\n').length - 1

test('what ends well ends as ever, each once', async () => {
  const paths = Array.from({ length: 30 }, (_, i) => join(folder, `f${i}`))
  const tasks = paths.map((path) => first().client.submit(mark, [path, 5], { atMostOnce: true }))
  expect(await Promise.all(tasks)).toEqual(paths.map(() => 'done'))
  expect(paths.map(runsOf)).toEqual(paths.map(() => 1))
  // A busy node hands back what it has not begun, and then the run has another number; nothing else may have come before it.
  const before = tasks.flatMap(({ metadata }) => metadata?.earlier ?? [])
  expect(before.filter(({ how }) => how !== 'handed back')).toEqual([])
})

test('an engine that ends takes the task with it: TASK_UNKNOWN, and no second run', async () => {
  const path = join(folder, 'f')
  const task = first().client.submit(mark, [path, -1], { atMostOnce: true })
  const failure = await task.catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(TaskError)
  expect(failure).toMatchObject({ code: 'TASK_UNKNOWN', message: expect.stringContaining('at most once') })
  const engines = (await first().client.engines()).map(({ id }) => id)
  expect(engines).toContain((failure as TaskError).engine)
  expect((failure as TaskError).stack).toContain(`on engine ${(failure as TaskError).engine}, attempt 1`)
  const { engine, started = Number.NaN, completed } = task.metadata ?? {}
  expect({ engine, attempt: 1 }).toEqual({ engine: (failure as TaskError).engine, attempt: 1 })
  expect(completed).toBeGreaterThanOrEqual(started)
  expect(runsOf(path)).toBe(1)
})

test('so does a node that is lost, once it had time to come back', async () => {
  const path = join(folder, 'f')
  const task = first().client.submit(mark, [path, 600_000], { atMostOnce: true })
  while (!existsSync(path)) await sleep(10)
  const { nodes: all } = await first().client.status()
  const busy = nodes.find(({ id }) => all.some((one) => one.id === id && one.running === 1)) as Node
  nodes = nodes.filter((node) => node !== busy)
  await busy.stop()
  // Nobody heard which of its engines it was.
  await expect(task).rejects.toMatchObject({ code: 'TASK_UNKNOWN', engine: busy.id })
  expect(runsOf(path)).toBe(1)
})

test('a node that leaves gives back what it did not begin, which then runs once elsewhere', async () => {
  const paths = Array.from({ length: 40 }, (_, i) => join(folder, `f${i}`))
  for (const path of paths) appendFileSync(path, '')
  const tasks = paths.map((path) => first().client.submit(mark, [path, 50], { atMostOnce: true }))
  await tasks[5]
  const leaving = nodes.pop() as Node
  await leaving.drain()
  expect(await Promise.all(tasks)).toEqual(paths.map(() => 'done'))
  expect(paths.map(runsOf)).toEqual(paths.map(() => 1))
})

test('who wants both once and again is told to decide', () => {
  expect(() => first().client.submit(mark, ['', 0], { atMostOnce: true, retries: 1 })).toThrow(
    expect.objectContaining({ code: 'SHOAL_BAD_OPTION' })
  )
})
