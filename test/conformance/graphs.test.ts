/**
 * What users of ipyparallel and dask rely on when tasks wait for others.
 *
 * Not here: the protocol under faults (the simulator's checker `depends`) and graphs under kills (test/integration).
 * Names begin with the item of CONFORMANCE.md, in our words.
 */
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type Call,
  call,
  connect,
  moduleFunction,
  type RunMetadata,
  ref,
  type TaskError,
  type TaskHandle
} from '../../src/index.ts'
import { Mesh, upTo } from './mesh.ts'

let mesh: Mesh
beforeAll(async () => {
  mesh = await Mesh.open(3)
})
afterAll(() => mesh.close())

const failureOf = (one: PromiseLike<unknown>): Promise<TaskError> =>
  Promise.resolve(one).then(
    (value) => expect.unreachable(`it gave ${value}`),
    (error: unknown) => error as TaskError
  )
const slowly = async (value: number, ms: number): Promise<number> => {
  await new Promise((resolve) => setTimeout(resolve, ms))
  return value
}
const add = (a: number, b: number): number => a + b
const sum = (all: readonly number[]): number => all.reduce((a, b) => a + b, 0)
const fail = (): number => {
  throw new RangeError('on purpose')
}
const run = async (task: TaskHandle<unknown>): Promise<RunMetadata> => {
  await task
  return task.metadata as RunMetadata
}

test('handles as arguments arrive as their values, wherever they stand, and of a job as the list of them', async () => {
  const { client } = mesh
  const [one, two] = [client.submit(slowly, [1, 50]), client.submit(slowly, [2, 1])]
  const squares = client.map((x: number) => x * x, [1, 2, 3])
  const nested = (all: { readonly list: readonly number[]; readonly plain: string }): string =>
    `${all.plain} ${all.list.join()}`
  expect(await client.submit(add, [one, client.submit(add, [one, two])])).toBe(4)
  expect(await client.submit(sum, [squares])).toBe(14)
  expect(await client.submit(add, [squares.task(2), 1])).toBe(10)
  const list = [one, 5, two] as unknown as number[]
  expect(await client.submit(nested, [{ list, plain: 'of' }])).toBe('of 1,5,2')
  expect(await client.map((x: number) => x + 1, [one, 10, two])).toEqual([2, 11, 3])
})

test('the mesh waits, and not the client: who submitted may go once all is accepted', async () => {
  const client = await connect({
    key: mesh.key,
    peers: mesh.nodes.slice(1, 2).flatMap((one) => one.addresses)
  })
  const first = client.submit(slowly, [20, 300])
  const second = client.submit(add, [first, 1])
  const third = client.submit(add, [second, second])
  await third.accepted
  await client.close()
  expect(await mesh.client.job(third.id)).toEqual([42])
})

test('CONFORMANCE 5: what waits for a task that nobody knows is refused at once', async () => {
  const began = performance.now()
  for (const after of ['abcdefghijkl', 'abcdefghijkl:3', 'no id'])
    await expect(mesh.client.submit(add, [1, 2], { after })).rejects.toMatchObject({
      code: 'SHOAL_BAD_DEPENDENCY',
      message: expect.stringContaining(after)
    })
  const known = mesh.client.submit(add, [1, 2])
  await known
  await expect(mesh.client.submit(add, [1, 2], { after: `${known.id}:1` })).rejects.toMatchObject({
    code: 'SHOAL_BAD_DEPENDENCY'
  })
  expect(await mesh.client.submit(add, [1, 2], { after: known.id })).toBe(3)
  expect(performance.now() - began).toBeLessThan(8_000)
})

test('CONFORMANCE 6: what is to follow tasks that ran on two engines cannot run anywhere, and says so at once', async () => {
  const { client, nodes } = mesh
  const [a, b] = nodes.map(({ id }) => client.submit(add, [1, 1], { targets: [id] }))
  const error = await failureOf(client.submit(add, [1, 1], { follow: [a, b] as TaskHandle<number>[] }))
  expect(error).toMatchObject({ code: 'TASK_DEPENDENCY', engine: '' })
  expect(error.message).toContain('different engines')
  const any = { tasks: [a, b] as TaskHandle<number>[], all: false }
  expect(await client.submit(add, [1, 1], { follow: any })).toBe(2)
})

test('CONFORMANCE 7: a task after another begins when that has ended; one that follows it runs on its engine', async () => {
  const { client, nodes } = mesh
  for (const { id } of nodes) {
    const first = client.submit(slowly, [1, 30], { targets: [id] })
    const [after, follow] = [
      client.submit(add, [1, 1], { after: first }),
      client.submit(add, [1, 1], { follow: first })
    ]
    const [a, b, c] = [await run(first), await run(after), await run(follow)]
    expect(b.started).toBeGreaterThanOrEqual(a.completed as number)
    expect(c.started).toBeGreaterThanOrEqual(a.completed as number)
    expect(c.engine).toBe(a.engine)
  }
})

test.each(['thread', 'process'] as const)(
  'CONFORMANCE 7: so says every link of long chains, whose tasks follow each other at once (%s)',
  async (isolation) => {
    const alone = await Mesh.open(1, { isolation, slots: 2 })
    const { client } = alone
    const early: unknown[] = []
    for (const how of ['follow', 'after', 'follow', 'follow', 'follow']) {
      const chain: TaskHandle<number>[] = [client.submit(add, [1, 1])]
      while (chain.length < 30) chain.push(client.submit(add, [1, 1], { [how]: chain.at(-1) }))
      const runs = await Promise.all(chain.map(run))
      for (const [at, { started = Number.NaN, engine }] of runs.entries()) {
        const before = runs[at - 1]
        const waitedMs = started - Number(before?.completed)
        if (at > 0 && !(waitedMs >= 0)) early.push({ how, at, waitedMs, on: [before?.engine, engine] })
      }
    }
    expect(early).toEqual([])
    await alone.close()
  }
)

test('CONFORMANCE 8: any and all, success and failure decide what is met, and what never can be fails at once', async () => {
  const { client } = mesh
  const [good, bad, late] = [
    client.submit(add, [1, 1]),
    client.submit(fail, []),
    client.submit(slowly, [1, 60_000])
  ]
  await Promise.allSettled([good, bad])
  const table: [DependencyTasks, boolean, boolean, boolean, 'met' | 'never' | 'open'][] = [
    [[good], true, true, false, 'met'],
    [[bad], true, true, false, 'never'],
    [[bad], true, false, true, 'met'],
    [[good], true, false, true, 'never'],
    [[good, bad], true, true, true, 'met'],
    [[good, bad], true, true, false, 'never'],
    [[good, bad], false, true, false, 'met'],
    [[good, bad], false, false, true, 'met'],
    [[bad, late], false, true, false, 'open'],
    [[bad, late], true, true, false, 'never'],
    [[good, late], false, true, false, 'met'],
    [[good, late], true, true, false, 'open']
  ]
  type DependencyTasks = TaskHandle<number>[]
  const ends = await Promise.all(
    table.map(async ([tasks, all, success, failure, is]) => {
      const task = client.submit(add, [1, 1], { after: { tasks, all, success, failure } })
      const ended = task.then(
        () => 'met',
        ({ code }) => (code === 'TASK_DEPENDENCY' ? 'never' : code)
      )
      return is === 'open' ? Promise.race([ended, sleep(1_000).then(() => 'open')]) : ended
    })
  )
  expect(ends).toEqual(table.map(([, , , , is]) => is))
  await late.cancel()
})

test('a failure runs down the graph: everything that needs it fails, and names what failed first as the cause', async () => {
  const { client } = mesh
  const bad = client.submit(fail, [])
  let last: TaskHandle<number> = client.submit(add, [bad, 1])
  for (const _ of upTo(5)) last = client.submit(add, [last, 1])
  const error = await failureOf(last)
  expect(error).toMatchObject({
    code: 'TASK_DEPENDENCY',
    cause: { name: 'RangeError', message: 'on purpose' }
  })
  expect(error.message).toContain(`${bad.id}:0`)
})

test('what waits for a task that is cancelled or released fails, and says which of them', async () => {
  const { client } = mesh
  const [endless, over] = [client.submit(slowly, [1, 60_000]), client.submit(add, [1, 1])]
  const cancelled = client.submit(add, [endless, 1])
  await cancelled.accepted
  await endless.cancel()
  expect((await failureOf(cancelled)).message).toContain(`${endless.id}:0, which was cancelled`)
  await over
  await over.release()
  const released = await failureOf(client.submit(add, [over, 1]))
  expect(released).toMatchObject({ code: 'TASK_DEPENDENCY' })
  expect(released.message).toContain('was released')
})

const square = (x: number): number => x * x
const half = (x: number): number => x / 2

test('a graph is one job: calls with names, in any order, of several functions, whose results have these names', async () => {
  const { client } = mesh
  const ten = client.submit(add, [4, 6])
  const graph = client.graph({
    all: call(sum, [[ref('a'), ref('b')]]),
    a: call(add, [ten, 1]),
    b: call(square, [ref('a')]),
    last: call(half, [ref('all')], { after: [ref('b')], follow: ref('a') })
  })
  const values = await graph
  expect(values).toEqual({ all: 132, a: 11, b: 121, last: 66 })
  expect(graph.metadata('last')?.engine).toBe(graph.metadata('a')?.engine)
  expect(await client.submit(add, [graph.task('b'), 1])).toBe(122)
  expect(await client.graph([call(add, [1, 2]), call(add, [ref(0), ref(0)])])).toEqual([3, 6])
  expect(await client.graph({})).toEqual({})
})

test('a graph of the exports of one module', async () => {
  const file = new URL('./fixtures/calls.ts', import.meta.url)
  const [double, join] = [moduleFunction(file, 'double'), moduleFunction(file, 'join')]
  const graph = mesh.client.graph([call(double, [2]), call<string>(join, [ref(0), ref(0)])])
  expect(await graph).toEqual([4, '4 and 4'])
})

test('circles, and names that are no calls, are refused before anything is sent', () => {
  const { client } = mesh
  const circle = {
    a: call(square, [ref('b')]),
    b: call(square, [ref('c')]),
    c: call(square, [ref('a')])
  }
  expect(() => client.graph(circle)).toThrow('in a circle: a needs b needs c needs a')
  expect(() => client.graph({ self: call(square, [1], { after: ref('self') }) })).toThrow('circle')
  expect(() => client.graph([call(square, [ref(7)])])).toThrow('no such call')
})

test('a chain as long as the graph is no deeper than the stack, and one failure in it ends the rest', async () => {
  const { client } = mesh
  const link = (at: number): Call<number> => (at === 0 ? call(add, [0, 0]) : call(add, [ref(at - 1), 1]))
  const chain = upTo(600).map((at) => (at === 500 ? call(fail) : link(at)))
  const graph = client.graph(chain, { returnErrors: true })
  const values: readonly unknown[] = await graph
  expect(values[499]).toBe(499)
  expect(values.at(-1)).toMatchObject({ code: 'TASK_DEPENDENCY', cause: { message: 'on purpose' } })
})

test('what waits for others says for whom, and status counts it', async () => {
  const { client } = mesh
  const late = client.submit(slowly, [1, 60_000])
  const waiting = client.submit(add, [late, 1], { after: late })
  await waiting.accepted
  const { state, reason, waitsFor } = await waiting.explain()
  const on = [`${late.id}:0`]
  expect([state, waitsFor]).toEqual([
    'waiting',
    ['value', 'after'].map((how) => ({ how, tasks: on, count: 1 }))
  ])
  expect(reason).toContain(`it waits for the value of ${on}`)
  expect((await mesh.status()).reduce((sum, { dependent }) => sum + dependent, 0)).toBe(1)
  await late.cancel()
  await waiting.catch(() => {})
})
