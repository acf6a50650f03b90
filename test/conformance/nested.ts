/**
 * Functions for the tests of tasks that submit tasks.
 *
 * Not here: any expectation. They use each other and what is around them, as functions of a module do.
 */
import { appendFileSync, existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { task } from 'shoal/task'

const sum = (all: readonly number[]): number => all.reduce((a, b) => a + b, 0)

/** The leaves of a tree that is so high and so wide, each counted by a task of its own. */
export async function tree(height: number, width: number): Promise<number> {
  if (height < 0) return 1
  const parts = await task.client.map(level, new Array(width).fill([height - 1, width]))
  return sum(parts as number[])
}

export const level = ([height, width]: [number, number]): Promise<number> => tree(height, width)

/** Says that it runs by a line in the file, and never ends. */
export async function forever(file: string): Promise<never> {
  appendFileSync(file, 'inner\n')
  return new Promise(() => {})
}

export const waits = async (file: string): Promise<unknown> => task.client.submit(forever, [file])

/** Waits for one task on each of these nodes. */
export const waitsAt = async (file: string, nodes: string[]): Promise<unknown> =>
  Promise.all(nodes.map((node) => task.client.submit(forever, [file], { targets: [node] })))

/** At its first attempt it ends its engine while its job runs. */
export async function dies(file: string): Promise<string> {
  if (task.attempt > 1) return (await task.client.submit(() => 'second attempt')) as string
  const inner = task.client.submit(forever, [file])
  // Waits for it, so that it gets the slot, and does something else besides.
  void inner.catch(() => {})
  while (!existsSync(file)) await sleep(5)
  process.exit()
}

export async function leaves(file: string): Promise<string> {
  const inner = task.client.submit(forever, [file])
  await inner.accepted
  return inner.id
}

/** Results as they come, while another job is waited for. */
export async function both(): Promise<number[]> {
  const slow = task.client.submit((x: number) => new Promise<number>((go) => setTimeout(go, 30, x)), [100])
  const seen: number[] = []
  for await (const one of task.client.map((x: number) => x + 1, [1, 2, 3])) seen.push(one)
  return [...seen, await slow]
}

export const program = async (): Promise<string[]> => {
  const done = await task.client.run({ command: 'echo', args: ['{}'], each: ['a', 'b'] })
  return done.map(({ stdout }) => String(stdout).trim())
}

/** Sends so many bytes there, gets them back, and does the same by a reference. */
export async function large(size: number): Promise<number[]> {
  const bytes = new Uint8Array(size).fill(7)
  const back = (await task.client.submit((some: Uint8Array) => some, [bytes])) as Uint8Array
  const ref = await task.client.put(bytes)
  const got = await task.client.get(ref)
  return [back, got].map((some) => some.filter((byte) => byte === 7).byteLength)
}

const codeOf = (call: PromiseLike<unknown>): Promise<unknown> =>
  Promise.resolve(call).then(
    (value) => value,
    ({ code }) => code
  )

/** Calls the engine of this task, as one of a view, as a target, and by a task that this one waits for. */
export async function callsItself(): Promise<unknown[]> {
  const { engine, client } = task
  const fn = () => 1
  return [
    await codeOf(client.view('all').execute('1')),
    await codeOf(client.view(engine).push({ a: 1 })),
    await codeOf(client.submit(fn, [], { targets: [engine] })),
    await client.submit(calls, [engine])
  ]
}

export const calls = (engine: string): Promise<unknown> => codeOf(task.client.view(engine).apply(() => 1))

/** Calls the engine `other` once all that take part are at work; how, and a file for each of those, are given. */
export async function callsAcross(other: string, how: 'view' | 'target', files: string[]): Promise<unknown> {
  const { engine, client } = task
  appendFileSync(files[0] as string, 'here')
  while (!files.every((file) => existsSync(file))) await sleep(5)
  const fn = (from: string) => `called from ${from}`
  if (how === 'view') return codeOf(client.view(other).apply(fn, engine))
  return codeOf(client.submit(fn, [engine], { targets: [other] }))
}

/** Waits for other work while it holds its engine, which somebody else calls meanwhile. */
export async function waitsForOthers(ms: number, file: string): Promise<unknown> {
  appendFileSync(file, 'here')
  return await task.client.submit((ms: number) => new Promise((go) => setTimeout(go, ms, 'done')), [ms])
}

/** What follows a task that ran in this slot meanwhile. */
export async function followed(): Promise<unknown> {
  const first = task.client.submit(() => 1)
  return await task.client.submit((x: number) => x + 1, [first], { follow: first })
}

export const byKey = async (): Promise<number> => await task.client.submit(() => 1, [], { key: 'x' })
