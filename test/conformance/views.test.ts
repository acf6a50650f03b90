/**
 * What users of ipyparallel rely on in views of engines.
 *
 * Not here: jobs and tasks (tasks.test.ts). Names begin with the item of CONFORMANCE.md, where there is one.
 */
import { writeFile } from 'node:fs/promises'
import { inspect } from 'node:util'
import { afterEach, expect, test } from 'vitest'
import { AsyncResult, type CompositeError, moduleFunction, Reference } from '../../src/index.ts'
import { Mesh, until, upTo } from './mesh.ts'

let mesh: Mesh | undefined
afterEach(() => mesh?.close())

declare let counter: number
declare let total: number
declare const by: number
declare function double(n: number): number

test('with chunk, so many inputs are one task, and results come in order, one by one', async () => {
  mesh = await Mesh.open(1, { slots: 2 })
  const { client } = mesh
  const job = client.balanced().map((x: number) => 2 * x, upTo(7), { chunk: 3 })
  expect(await job).toEqual([0, 2, 4, 6, 8, 10, 12])
  expect(job.progress).toMatchObject({ done: 3, total: 3 })
  expect(await Array.fromAsync(client.balanced().map((x: number) => [x], upTo(4), { chunk: 3 }))).toEqual([
    [0],
    [1],
    [2],
    [3]
  ])
  const scoped = client.balanced({ scope: { by: 2 } })
  expect(await scoped.map((x: number) => x * by, [1, 2, 3], { chunk: 2 })).toEqual([2, 4, 6])
  const factorial = (n: number): number => (n < 2 ? 1 : n * factorial(n - 1))
  expect(await client.balanced().map(factorial, [3, 4], { chunk: 2 })).toEqual([6, 24])
  expect(
    await client.balanced().map((a: number, b: number) => a + b, [upTo(3), upTo(9)], { chunk: 2, zip: true })
  ).toEqual([0, 2, 4])
  async function* three(): AsyncGenerator<number> {
    yield* upTo(3)
  }
  expect(
    await client.balanced().map(
      function* (x: number) {
        yield x
        yield -x
      },
      three(),
      { chunk: 2 }
    )
  ).toEqual([
    [0, -0],
    [1, -1],
    [2, -2]
  ])
  const exported = moduleFunction(new URL('./fixtures/calls.ts', import.meta.url), 'double')
  expect(await client.balanced().map(exported, upTo(3), { chunk: 2 })).toEqual([0, 2, 4])
  expect(await client.balanced().map((x: unknown) => x, [client.submit(() => 'v'), 1], { chunk: 2 })).toEqual(
    ['v', 1]
  )
  await expect(
    client.balanced().map(
      (x: number) => {
        if (x === 1) throw new Error('one of them')
        return x
      },
      upTo(4),
      { chunk: 2 }
    )
  ).rejects.toThrow('one of them')
  for (const chunk of [0, -1, 1.5, '2', null, 10_001])
    expect(() => client.balanced().map((x: number) => x, [1], { chunk } as never)).toThrow(
      expect.objectContaining({ code: 'SHOAL_BAD_OPTION' })
    )
  expect(() => client.balanced().map((x: number) => x, [1], { chunk: 2, returnErrors: true })).toThrow(
    'contradict'
  )
})

test('each engine has a namespace of its own, that execute, push, pull and apply share', async () => {
  mesh = await Mesh.open(2, { slots: 2 })
  const { client } = mesh
  const all = client.view('all')
  expect(await all.execute('counter = 0; const step = 3; function double(n) { return 2 * n }')).toEqual(
    Array(4).fill(undefined)
  )
  expect(await all.apply((x: number) => (counter += x), 2)).toEqual([2, 2, 2, 2])
  // Only the first of them.
  expect(await client.view(0).apply((x: number) => (counter += double(x)), 5)).toBe(12)
  expect(await all.pull('counter')).toEqual([12, 2, 2, 2])
  expect(await client.view([1, 0]).pull(['counter', 'step'])).toEqual([
    [2, 3],
    [12, 3]
  ])
  await all.push({ part: { a: 1 }, total: 10 })
  expect(
    await all.apply((x: number, part: { a: number }) => total + x + part.a, 1, new Reference('part'))
  ).toEqual([12, 12, 12, 12])
  // Also within others; what only looks like one stays as it is.
  const inside = { list: [0, new Reference('part')], of: { total: new Reference('total') } }
  const like = { name: 'part', shoalReference: 'part' }
  expect(await client.view(0).apply((...args: unknown[]) => args, inside, like)).toEqual([
    { list: [0, { a: 1 }], of: { total: 10 } },
    like
  ])
  await expect(
    client
      .view(0)
      .apply((x: unknown) => x, [new Reference('nowhere')])
      .get()
  ).rejects.toThrow('nowhere')
  // So large that it is put once for all four, and so small that alone it would travel with its task.
  const long = 'x'.repeat(40_000)
  await all.push({ long })
  expect(await all.apply((text: string) => text.length, new Reference('long'))).toEqual(Array(4).fill(40_000))
  // The last expression comes back; await works; what is declared stays.
  expect(
    await all.execute(`
      const { sqrt: root } = Math
      class Box { constructor(n) { this.n = n } }
      let answer = await new Promise((resolve) => setTimeout(resolve, 5, root(49)))
      new Box(answer).n + 1
    `)
  ).toEqual([8, 8, 8, 8])
  expect(await client.view(3).execute('typeof Box + root(answer + 2)')).toBe('function3')
  // A line may end without a semicolon, whatever comes after it.
  expect(await client.view(0).execute('if (counter) counter = 1\nconst next = counter + 1\nnext')).toBe(2)
  await all.clear()
  const error = await all.execute('answer').catch((one: unknown) => one)
  expect((error as CompositeError).errors.map(({ message }) => message)).toEqual(
    Array(4).fill('answer is not defined on this engine')
  )
  // Tasks of other clients' functions are not disturbed by any of it.
  expect(await client.map((n) => n + 1, upTo(20))).toEqual(upTo(20).map((n) => n + 1))
})

test('a name that nobody knows is an error where it is read, undefined to typeof, and of the engine once it is assigned', async () => {
  mesh = await Mesh.open(1, { slots: 1 })
  const view = mesh.client.view(0)
  expect(await view.execute('typeof nowhere')).toBe('undefined')
  expect(await view.apply(() => typeof counter)).toBe('undefined')
  expect(await view.map((n: number) => [n, typeof counter], [1])).toEqual([[1, 'undefined']])
  // Lines may begin with it, and what is known is of its type.
  expect(
    await view.execute(`
    if (typeof counter === 'undefined') counter = 1
    const kinds = (here, of = typeof nowhere) => {
      let all = [of]
      typeof counter
      return [...all, typeof here, typeof counter, typeof Math]
    }
    kinds('x')
  `)
  ).toEqual(['undefined', 'string', 'number', 'object'])
  expect(await view.apply(() => [typeof counter, 'counter' in globalThis])).toEqual(['number', false])
  for (const unknown of ['nowhere', 'typeof nowhere.x', 'typeof nowhere()', 'nowhere += 1'])
    await expect(view.execute(unknown).get(), unknown).rejects.toMatchObject({
      name: 'ReferenceError',
      message: 'nowhere is not defined on this engine'
    })
})

test('run executes a file; what cannot be read is refused before it is sent', async () => {
  mesh = await Mesh.open(1, { slots: 2 })
  const view = mesh.client.view('all')
  const file = `${mesh.folder}/setup.js`
  await writeFile(
    file,
    'const fs = await import("node:fs")\nconst sep = (await import("node:path")).sep\nsep'
  )
  expect(await view.run(file)).toEqual(['/', '/'])
  expect(
    await view.apply((name: string) => typeof (globalThis as { nothing?: unknown }).nothing + name, 'x')
  ).toEqual(['undefinedx', 'undefinedx'])
  expect(() => view.execute('let = = 3')).toThrow(/SHOAL_BAD_FUNCTION|cannot be read/)
  expect(() => view.execute('import fs from "node:fs"')).toThrow(/await import/)
  expect(() => view.apply(Math.max, 1)).toThrow(/no function that can travel/)
})

test('CONFORMANCE 15: "all" includes engines that join later, a list of ids does not', async () => {
  mesh = await Mesh.open(1, { slots: 2 })
  const { client } = mesh
  const all = client.view('all')
  const labelled = client.view((engine) => engine.labels.gpu)
  const ids = (await client.engines()).map(({ id }) => id)
  const both = client.view(ids)
  await expect(labelled.engines()).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
  await mesh.join({ labels: { gpu: 'a100' } })
  await mesh.untilMeshed()
  expect(await all.apply(() => 1)).toEqual([1, 1, 1])
  expect(await both.apply(() => 1)).toEqual([1, 1])
  expect(await labelled.apply(() => 1)).toEqual([1])
  await expect(client.view(17).apply(() => 1)).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
  await expect(client.view('nobody/0').pull('x')).rejects.toThrow(/there is no engine nobody\/0/)
})

test('CONFORMANCE 18: scatter and gather restore the sequence, also if it does not come out even', async () => {
  mesh = await Mesh.open(1, { slots: 3 })
  const all = mesh.client.view('all')
  for (const count of [0, 1, 2, 3, 7, 100]) {
    await all.scatter('part', upTo(count))
    expect(await all.gather('part')).toEqual(upTo(count))
  }
  await all.scatter('part', upTo(8))
  expect(await all.pull('part')).toEqual([
    [0, 1, 2],
    [3, 4, 5],
    [6, 7]
  ])
  await all.scatter(
    'samples',
    Float64Array.from(upTo(10), (n) => n / 2)
  )
  expect(await all.gather('samples')).toEqual(Float64Array.from(upTo(10), (n) => n / 2))
  expect(await all.map((n: number) => n * n, upTo(10))).toEqual(upTo(10).map((n) => n * n))
})

test('CONFORMANCE 14: get(0) before the end is a timeout, and a later get has the value, again and again', async () => {
  mesh = await Mesh.open(1, { slots: 1 })
  const balanced = mesh.client.balanced({ retries: 1 })
  const slow = balanced.apply((x: string) => new Promise<string>((done) => setTimeout(done, 200, x)), 'late')
  await expect(slow.get(0)).rejects.toMatchObject({ code: 'SHOAL_TIMEOUT' })
  await expect(slow.get(1)).rejects.toMatchObject({ code: 'SHOAL_TIMEOUT' })
  expect([slow.ready, slow.successful, await slow.wait(0)]).toEqual([false, false, false])
  expect([await slow.get(), await slow.get(), await slow, slow.ready, slow.successful]).toEqual([
    'late',
    'late',
    'late',
    true,
    true
  ])
  expect(slow.metadata()).toMatchObject({ attempt: 1 })
  const job = balanced.map((n: number) => n + 1, upTo(50))
  expect(await job.get()).toEqual(upTo(50).map((n) => n + 1))
  expect(job.progress).toEqual({ done: 50, total: 50, failed: 0 })
  const failed = balanced.apply(() => {
    throw new RangeError('no')
  })
  expect(await failed.wait()).toBe(true)
  expect([failed.ready, failed.successful]).toEqual([true, false])
  const stopped = balanced.apply(() => new Promise((done) => setTimeout(done, 60_000)))
  await until(async () => (await mesh?.status())?.[0]?.running === 1)
  await stopped.abort()
  await expect(stopped.get()).rejects.toMatchObject({ code: 'SHOAL_CANCELLED' })
})

test('CONFORMANCE 10: a lazy map over an endless input has few tasks outstanding, and leaving it ends the input', async () => {
  mesh = await Mesh.open(1, { slots: 1 })
  let pulled = 0
  let isEnded = false
  function* endless(): Generator<number> {
    try {
      for (;;) yield pulled++
    } finally {
      isEnded = true
    }
  }
  const seen: number[] = []
  let most = 0
  for await (const n of mesh.client.balanced().imap((x: number) => 2 * x, endless(), { maxOutstanding: 5 })) {
    most = Math.max(most, pulled - seen.length)
    seen.push(n)
    if (seen.length === 40) break
  }
  expect(seen).toEqual(upTo(40).map((n) => 2 * n))
  expect(most).toBeLessThanOrEqual(10)
  await until(() => isEnded)
})

test('an AsyncResult is gone through item by item, each as soon as it is there, and still gives the whole', async () => {
  mesh = await Mesh.open(2, { slots: 1 })
  const { client } = mesh
  const all = client.view('all')
  const pause = (n: number): Promise<number> =>
    new Promise((done) => setTimeout(done, n === 1 ? 600_000 : 0, n))
  // The second one never ends.
  const slow = client.balanced().map(pause, [0, 1])
  for await (const first of slow) {
    expect(first).toBe(0)
    break
  }
  expect(slow.ready).toBe(false)
  await slow.abort()
  await expect(Array.fromAsync(slow)).rejects.toMatchObject({ code: 'SHOAL_CANCELLED' })

  const result = client.balanced().map((n: number) => 2 * n, upTo(3))
  expect(await Array.fromAsync(result)).toEqual([0, 2, 4])
  expect([await result.get(), await Array.fromAsync(result)]).toEqual([
    [0, 2, 4],
    [0, 2, 4]
  ])
  expect(await Array.fromAsync(client.balanced().apply(() => [7]))).toEqual([[7]])
  expect(await Array.fromAsync(all.apply(() => [1, 2]))).toEqual([
    [1, 2],
    [1, 2]
  ])
  expect(await Array.fromAsync(all.map((n: number) => n + 1, upTo(5)))).toEqual([1, 2, 3, 4, 5])
  await all.scatter('part', upTo(3))
  expect(await Array.fromAsync(all.gather('part'))).toEqual([0, 1, 2])
  const failing = client.balanced().map((n: number) => {
    if (n === 1) throw new RangeError('one')
    return n
  }, upTo(3))
  const seen: number[] = []
  const read = async (): Promise<void> => {
    for await (const n of failing) seen.push(n)
  }
  await expect(read()).rejects.toMatchObject({ name: 'RangeError' })
  expect(seen).toEqual([0])

  const flow = client.balanced().imap((n: number) => n + 1, upTo(20), { maxOutstanding: 2 })
  expect(flow).toBeInstanceOf(AsyncResult)
  expect(await flow.get(30_000)).toEqual(upTo(20).map((n) => n + 1))
  expect([flow.ready, flow.successful, flow.progress.done]).toEqual([true, true, 20])
  const left = client.balanced().imap(pause, [1, 1, 1], { ordered: false })
  await left.abort()
  await expect(left.get()).rejects.toMatchObject({ code: 'SHOAL_CANCELLED' })
})

test('what the package exports has the name that it is exported by, also as it is bundled', async () => {
  const all = Object.entries(await import('../../src/index.ts')).filter(
    ([, one]) => typeof one === 'function'
  )
  expect(all.map(([, one]) => (one as () => void).name)).toEqual(all.map(([name]) => name))
  mesh = await Mesh.open(1)
  expect(inspect(mesh.client.balanced().apply(() => 1))).toMatch(/^AsyncResult \{/)
})

test('a directed call whose node stops in good order fails within seconds, naming its engine, and never hangs', async () => {
  mesh = await Mesh.open(2, { slots: 1 })
  const lost = (await mesh.client.engines()).find(({ node }) => node !== mesh?.nodes[0]?.id)
  const view = mesh.client.view(lost?.id ?? '')
  const call = view.apply(() => new Promise((done) => setTimeout(done, 600_000)))
  await until(async () => (await mesh?.status())?.some(({ running }) => running === 1) === true)
  await mesh.take(mesh.nodes[1] as (typeof mesh.nodes)[0]).stop()
  const begun = performance.now()
  await expect(call.get()).rejects.toMatchObject({ code: 'ENGINE_LOST', engine: lost?.id })
  expect(performance.now() - begun).toBeLessThan(10_000)
  await expect(view.pull('x')).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
})

test('an engine that ends under a directed call: the call fails, and its successor has an empty namespace', async () => {
  mesh = await Mesh.open(1, { slots: 1 })
  const view = mesh.client.view(0)
  await view.push({ kept: 1 })
  await expect(view.execute('process.exit(3)').get()).rejects.toMatchObject({ code: 'ENGINE_LOST' })
  await expect(view.pull('kept').get()).rejects.toThrow('kept is not defined')
  expect(await view.execute('1 + 1')).toBe(2)
})

test('a result tells what was printed where, and how long it took', async () => {
  mesh = await Mesh.open(2)
  const { client } = mesh
  const call = client
    .view('all')
    .execute('console.log("here"); await new Promise((done) => setTimeout(done, 30))')
  await call
  expect(call.stdout).toEqual(['here\n', 'here\n'])
  expect(call.stderr).toEqual(['', ''])
  const job = client.balanced().map((n: number) => new Promise((done) => setTimeout(done, 20, n)), upTo(8))
  expect(await job).toEqual(upTo(8))
  // Timers may be a millisecond early.
  expect(job.serialTime).toBeGreaterThanOrEqual(8 * 19)
  expect(job.wallTime).toBeGreaterThanOrEqual(4 * 19)
  const { elapsed } = job
  expect(elapsed).toBeGreaterThanOrEqual(4 * 19)
  expect(job.elapsed).toBe(elapsed)
})
