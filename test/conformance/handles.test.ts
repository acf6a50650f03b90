/**
 * What users of ipyparallel and dask rely on in handles: waiting for several, timing, results in other hands.
 *
 * Not here: one AsyncResult by itself (views.test.ts). Names begin with the item of CONFORMANCE.md, where there is one.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type Client,
  call,
  connect,
  type Endable,
  type Later,
  ref,
  type WaitOptions
} from '../../src/index.ts'
import { Mesh, until, upTo } from './mesh.ts'

let mesh: Mesh
beforeAll(async () => {
  mesh = await Mesh.open(1, { slots: 4 })
})
afterAll(() => mesh.close())

/** Ends when the file is there, so that nothing depends on how fast this machine is. */
const gate = (name: string): string => join(mesh.folder, name)
const open = (name: string): Promise<void> => writeFile(gate(name), '')
const behind = async (path: string, value: number): Promise<number> => {
  const { existsSync } = process.getBuiltinModule('node:fs')
  while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 5))
  return value
}
const behindEach = async ([path, value]: readonly [string, number]): Promise<number> => {
  const { existsSync } = process.getBuiltinModule('node:fs')
  while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 5))
  return value
}
const fail = (): never => {
  throw new RangeError('no')
}
const failsAtOne = (n: number): number => {
  if (n === 1) throw new RangeError('no')
  return n
}

/** Another client, that knows nothing of what was submitted here. */
const stranger = (): Promise<Client> =>
  connect({ key: mesh.key, peers: mesh.nodes.flatMap(({ addresses }) => addresses), mdns: false })

/** How things stand, by places: handles of one kind look equal. */
async function standing(handles: Endable[], options?: WaitOptions): Promise<Record<string, number[]>> {
  const { done, pending, failed } = await mesh.client.wait(handles, options)
  const places = (some: Endable[]): number[] => some.map((one) => handles.indexOf(one))
  return { done: places(done), pending: places(pending), failed: places(failed) }
}

test('CONFORMANCE 13: until the first exception, wait answers with what failed while slow ones run', async () => {
  const { client } = mesh
  const slow = client.submit(behind, [gate('13'), 1])
  const failed = client.balanced().apply(fail)
  const until = 'firstException'
  expect(await standing([slow, failed], { until })).toEqual({ done: [1], pending: [0], failed: [1] })
  // The failure of one engine is enough, or of one task, also while others run.
  const call = client.view('all').execute(`
    const { existsSync, writeFileSync } = process.getBuiltinModule('node:fs')
    // One engine makes the file, whichever is first, and the others fail.
    try { writeFileSync(${JSON.stringify(gate('13a'))}, '', { flag: 'wx' }) } catch { throw new Error('late') }
    while (!existsSync(${JSON.stringify(gate('13b'))})) await new Promise((done) => setTimeout(done, 5))
  `)
  expect(await standing([slow, call], { until })).toEqual({ done: [], pending: [0, 1], failed: [1] })
  expect(await standing([call, slow], { timeout: 0 })).toEqual({ done: [], pending: [0, 1], failed: [0] })
  await Promise.all([open('13'), open('13b')])
  expect(await standing([slow, call])).toEqual({ done: [0, 1], pending: [], failed: [1] })
  await expect(call.get()).rejects.toThrow('late')
  // Errors that are asked for as results are no failures, and without any it waits for all.
  const asked = client.map(fail, [1], { returnErrors: true })
  expect(await standing([asked, slow], { until })).toEqual({ done: [0, 1], pending: [], failed: [] })
})

test('wait until the first completed or all, with a limit; nothing is taken out of what is waited for', async () => {
  const { client } = mesh
  const slow = client.submit(behind, [gate('wait'), 7])
  const quick = client.map((n: number) => n + 1, upTo(3))
  const until = 'firstCompleted'
  expect(await standing([slow, quick], { until })).toEqual({ done: [1], pending: [0], failed: [] })
  expect(await standing([slow, quick], { timeout: 1 })).toEqual({ done: [1], pending: [0], failed: [] })
  await expect(client.wait([slow], { signal: AbortSignal.timeout(1) })).rejects.toMatchObject({
    code: 'SHOAL_CANCELLED'
  })
  await open('wait')
  expect(await standing([slow, quick])).toEqual({ done: [0, 1], pending: [], failed: [] })
  const seen: number[] = []
  for await (const n of quick) seen.push(n)
  expect([seen, await slow]).toEqual([[1, 2, 3], 7])
  expect(await standing([])).toEqual({ done: [], pending: [], failed: [] })
  await expect(client.wait([Promise.resolve() as never])).rejects.toMatchObject({ code: 'SHOAL_BAD_OPTION' })
})

test('several handles come as they are completed, failed ones among them', async () => {
  const { client } = mesh
  const [first, last] = [client.submit(behind, [gate('c1'), 1]), client.submit(behind, [gate('c2'), 2])]
  const failed = client.balanced().apply(fail)
  const order: unknown[] = []
  for await (const { index, handle, hasFailed } of client.asCompleted([last, first, failed])) {
    order.push([index, hasFailed])
    if (handle === failed) await open('c1')
    if (handle === first) await open('c2')
  }
  expect(order).toEqual([
    [2, true],
    [1, false],
    [0, false]
  ])
  const never = client.submit(behind, [gate('c3'), 3])
  const late = client.asCompleted([never, first], { timeout: 20 })
  expect((await late.next()).value).toMatchObject({ index: 1, hasFailed: false })
  await expect(late.next()).rejects.toMatchObject({ code: 'SHOAL_TIMEOUT' })
  await open('c3')
  expect(await never).toBe(3)
})

test('handles know how long the work took, also when results were taken out one by one', async () => {
  const { client } = mesh
  const job = client.map((n: number) => new Promise((done) => setTimeout(done, 20, n)), upTo(8))
  for await (const _ of job);
  const task = client.submit(() => new Promise((done) => setTimeout(done, 20)))
  await task
  // Timers may be a millisecond early.
  expect(job.serialTime).toBeGreaterThanOrEqual(8 * 19)
  expect(job.wallTime).toBeGreaterThanOrEqual(2 * 19)
  for (const one of [job, task]) {
    const { elapsed } = one
    expect(elapsed).toBeGreaterThanOrEqual(19)
    await new Promise((done) => setTimeout(done, 2))
    expect(one.elapsed).toBe(elapsed)
  }
  const { submitted = 0, started = 0, completed = 0 } = task.metadata ?? {}
  expect(task.serialTime).toBe(completed - started)
  expect(task.wallTime).toBe(completed - submitted)
})

test('CONFORMANCE 14: handles of tasks, jobs and graphs can be asked with a limit, again and again, and the work goes on', async () => {
  const { client } = mesh
  const task = client.submit(behind, [gate('14'), 3])
  const job = client.map(behindEach, [[gate('14'), 1] as const, [gate('14'), 2] as const])
  const graph = client.graph({ a: call(behind, [gate('14'), 5]) })
  for (const handle of [task, job.task(1), graph.task('a')])
    expect(handle.progress).toEqual({ done: 0, total: 1, failed: 0 })
  for (const handle of [task, job, graph]) {
    for (let asked = 0; asked < 2; asked++) {
      await expect(handle.get(0)).rejects.toMatchObject({ code: 'SHOAL_TIMEOUT' })
    }
    expect([await handle.wait(0), handle.ready, handle.successful]).toEqual([false, false, false])
  }
  await open('14')
  expect(await job.wait()).toBe(true)
  expect([await task.get(), await job.get(60_000), await graph.get()]).toEqual([3, [1, 2], { a: 5 }])
  for (const handle of [task, job, graph]) {
    expect([await handle.wait(), handle.ready, handle.successful]).toEqual([true, true, true])
  }
  for (const handle of [task, job.task(1), graph.task('a')])
    expect(handle.progress).toEqual({ done: 1, total: 1, failed: 0 })
  // Asked as a whole, it can be gone through all the same.
  expect(await Array.fromAsync(job)).toEqual([1, 2])
  const failed = client.submit(fail)
  expect([await failed.wait(), failed.ready, failed.successful]).toEqual([true, true, false])
  expect(failed.progress).toEqual({ done: 1, total: 1, failed: 1 })
  await expect(failed.get()).rejects.toThrow('no')
})

test('one task of a job is a handle of its own, whose id opens it again at another client', async () => {
  const { client } = mesh
  const job = client.map(behindEach, [[gate('one'), 1] as const, [gate('one'), 2] as const])
  const one = job.task(1)
  await expect(one.get(0)).rejects.toMatchObject({ code: 'SHOAL_TIMEOUT' })
  expect([await one.wait(0), one.ready, await one.status()]).toEqual([
    false,
    false,
    { id: `${job.id}:1`, state: 'running', done: 0, total: 1, failed: 0 }
  ])
  await one.accepted
  await using other = await stranger()
  const again = other.task<number>(JSON.parse(JSON.stringify(one.id)))
  await open('one')
  expect([await one, await one.get(), await again, await again.wait()]).toEqual([2, 2, 2, true])
  expect([one.ready, one.successful, (await again.status()).state]).toEqual([true, true, 'done'])
  expect(again.metadata).toEqual(one.metadata)
  expect(one.metadata).toEqual(expect.objectContaining({ attempt: 1, engine: expect.stringContaining('/') }))
  expect(one.serialTime).toBeGreaterThan(0)
  expect(one.wallTime).toBeLessThanOrEqual(job.wallTime)
  const { done } = await client.wait([one, again], { until: 'all' })
  expect(done).toEqual([one, again])
  // Whoever asked for one task has taken nothing out, and gets it also when others take all out.
  const third = job.task(0)
  // Its outcome may come after that of the other one.
  expect([await third.wait(), third.ready]).toEqual([true, true])
  expect(await Array.fromAsync(job)).toEqual([1, 2])
  expect([await third, await one]).toEqual([1, 2])
  const late = client.map(behindEach, [[gate('one'), 1] as const])
  expect(await Array.fromAsync(late)).toEqual([1])
  await expect(late.task(0)).rejects.toMatchObject({ code: 'SHOAL_BAD_OPTION' })
  expect(await client.task(late.task(0).id)).toBe(1)
  await expect(job.task(2)).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
  await expect(one.release()).rejects.toMatchObject({ code: 'SHOAL_BAD_OPTION' })
  expect(() => job.task(-1)).toThrow(expect.objectContaining({ code: 'SHOAL_BAD_OPTION' }))
  await expect(other.task(`${job.id}:7`)).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
})

test('cancelling one task ends that task and no other, whether it runs, waits, or is still to be submitted', async () => {
  const { client } = mesh
  const inputs = upTo(12).map((n) => [gate(n % 4 === 1 ? 'never' : 'cancel'), n] as const)
  async function* later() {
    yield* inputs
    await opened.promise
    yield [gate('never'), 12] as const
  }
  const opened = Promise.withResolvers<void>()
  const job = client.map(behindEach, later(), { returnErrors: true })
  const doomed = [1, 5, 9, 12].map((index) => job.task(index))
  // It runs on one of four engines, and would for ever.
  const [first] = doomed
  await client.wait([first as Endable], { timeout: 200 })
  for (const one of doomed) await one.cancel()
  opened.resolve()
  for (const one of doomed) {
    await expect(one).rejects.toMatchObject({ name: 'Cancelled', code: 'SHOAL_CANCELLED', taskId: one.id })
    expect(await one.status()).toMatchObject({ state: 'cancelled', done: 1, failed: 1 })
  }
  await open('cancel')
  const results = (await job) as unknown[]
  expect(results.map((one) => (one instanceof Error ? 'cancelled' : one))).toEqual(
    upTo(13).map((n) => (n % 4 === 1 || n === 12 ? 'cancelled' : n))
  )
  expect(await job.status()).toMatchObject({ state: 'cancelled', done: 13, failed: 4 })
  // Too late: nothing happens.
  await job.task(0).cancel()
  expect(await client.job(job.id, { returnErrors: true }).task(0)).toBe(0)
  // Without `returnErrors` it is a failure like any other. By its id anybody may cancel it.
  const other = client.map(behindEach, [[gate('cancel'), 0] as const, [gate('never'), 1] as const])
  await other.accepted
  await using another = await stranger()
  await another.task(`${other.id}:1`).cancel()
  await expect(other).rejects.toMatchObject({ code: 'SHOAL_CANCELLED', taskId: `${other.id}:1` })
})

test('work that is cancelled before it was submitted has ended, too', async () => {
  const { client } = mesh
  const work = [
    client.submit(behind, [gate('never'), 1]),
    client.map(behindEach, [[gate('never'), 1] as const])
  ]
  const [one] = work.map((handle) => ('task' in handle ? handle.task(0) : handle)).slice(1)
  for (const handle of work) await handle.cancel()
  for (const handle of [...work, one as Later<unknown>]) {
    await expect(handle.get()).rejects.toMatchObject({ code: 'SHOAL_CANCELLED' })
    expect([handle.ready, handle.successful]).toEqual([true, false])
  }
})

test('a call of a graph can be awaited by its name, and be cancelled with all that needs it', async () => {
  const { client } = mesh
  const same = (x: number): number => x
  const graph = client.graph({
    a: call(behind, [gate('graph'), 5]),
    b: call(same, [ref<number>('a')]),
    c: call(behind, [gate('never'), 1]),
    d: call(same, [ref<number>('c')])
  })
  const [b, c, d] = [graph.task('b'), graph.task('c'), graph.task('d')]
  await c.cancel()
  await open('graph')
  expect(await b).toBe(5)
  await using other = await stranger()
  expect(await other.task(b.id)).toBe(5)
  await expect(c).rejects.toMatchObject({ code: 'SHOAL_CANCELLED' })
  await expect(d).rejects.toMatchObject({ code: 'TASK_DEPENDENCY' })
})

test('a fresh handle by id says how its job stands at the first question, and that there is no such job', async () => {
  const { client } = mesh
  const ended = client.map(failsAtOne, [0, 1, 2], { returnErrors: true })
  await ended
  const half = client.map(behindEach, [[gate('half'), 1] as const, [gate('shut'), 2] as const])
  const [first, second] = [half.task(0), half.task(1)]
  await open('half')
  await first
  const more = Promise.withResolvers<void>()
  async function* later() {
    yield* [0, 1]
    await more.promise
  }
  const fed = client.map((n) => n, later(), { inFlightMax: 8 })
  expect([await fed.task(0), await fed.task(1)]).toEqual([0, 1])
  const status = async (ask: (other: Client) => { status(): Promise<object> }): Promise<object> => {
    await using other = await stranger()
    const { id: _, ...rest } = (await ask(other).status()) as { id: string }
    return rest
  }
  const all = await Promise.all([
    status((other) => other.job(ended.id)),
    status((other) => other.task(ended.id)),
    status((other) => other.job(half.id)),
    status((other) => other.job(fed.id)),
    ...[0, 1].map((index) => status((other) => other.task(`${ended.id}:${index}`))),
    ...[first, second].map(({ id }) => status((other) => other.task(id)))
  ])
  expect(all).toEqual([
    { state: 'done', done: 3, total: 3, failed: 1 },
    { state: 'done', done: 3, total: 3, failed: 1 },
    { state: 'running', done: 1, total: 2, failed: 0 },
    { state: 'open', done: 2, total: undefined, failed: 0 },
    { state: 'done', done: 1, total: 1, failed: 0 },
    { state: 'done', done: 1, total: 1, failed: 1 },
    { state: 'done', done: 1, total: 1, failed: 0 },
    { state: 'running', done: 0, total: 1, failed: 0 }
  ])
  await second.cancel()
  await second.wait()
  expect(await status((other) => other.task(second.id))).toMatchObject({ state: 'cancelled', failed: 1 })
  for (const id of ['AAAAAAAAAAAAAAAA', 'AAAAAAAAAAAAAAAA:3', `${half.id}:2`])
    await expect(status((other) => other.task(id))).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
  await expect(client.job('AAAAAAAAAAAAAAAA').status()).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
  more.resolve()
  await fed
})

test('a handle by id that is kept follows its job: open, then running, then done, and all of it is still to be had', async () => {
  const { client } = mesh
  const more = Promise.withResolvers<void>()
  async function* later() {
    yield [gate('kept'), 1] as const
    await more.promise
  }
  const job = client.map(behindEach, later(), { inFlightMax: 8 })
  await client.wait([job.task(0)], { timeout: 50 })
  await using other = await stranger()
  const again = other.job<number>(job.id)
  expect(await again.status()).toMatchObject({ state: 'open', done: 0, total: undefined })
  more.resolve()
  await until(async () => (await again.status()).state !== 'open')
  expect(await again.status()).toMatchObject({ state: 'running', done: 0, total: 1 })
  await open('kept')
  await job
  expect(await again.status()).toMatchObject({ state: 'done', done: 1, total: 1 })
  expect([await again, (await again.status()).state]).toEqual([[1], 'done'])
  await client.job(job.id).release()
  await using third = await stranger()
  await expect(third.job(job.id).status()).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
})

test('a job that others cancel while it is given inputs ends: its submitter hears that, its source is left, and it can be released', async () => {
  const source = { gave: 0, isLeft: false }
  async function* endless(): AsyncGenerator<readonly [string, number]> {
    try {
      for (; ; source.gave++) yield [gate(source.gave < 2 ? 'at once' : 'never at all'), source.gave] as const
    } finally {
      source.isLeft = true
    }
  }
  await open('at once')
  const job = mesh.client.map(behindEach, endless(), { inFlightMax: 8 })
  const read: number[] = []
  const reading = (async (): Promise<void> => {
    for await (const value of job) read.push(value)
  })()
  await until(() => read.length === 2)
  await using other = await stranger()
  const theirs = other.job(job.id, { returnErrors: true })
  await theirs.cancel()
  await expect(reading).rejects.toMatchObject({ code: 'SHOAL_CANCELLED' })
  await until(() => source.isLeft)
  expect(await job.status()).toMatchObject({ state: 'cancelled' })
  await expect(theirs.then((all) => all)).rejects.toMatchObject({ code: 'SHOAL_CANCELLED' })
  await theirs.release()
  expect((await other.jobs()).filter(({ id }) => id === job.id)).toEqual([])
})
