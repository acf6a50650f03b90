/**
 * What users of ipyparallel do to engines themselves: interrupt them, restart them, wait for them.
 *
 * Not here: engines that are lost against everybody's will (nodes.test.ts). Names begin with the item of CONFORMANCE.md.
 */
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { type CompositeError, connect } from '../../src/index.ts'
import { Mesh, until } from './mesh.ts'

let mesh: Mesh | undefined
afterEach(() => mesh?.close())

declare let kept: number

const fails = (promise: PromiseLike<unknown>): Promise<unknown> =>
  Promise.resolve(promise).then(
    () => 'it did not fail',
    (error: unknown) => error
  )

/** Says in a file that it has begun, and waits for ever: what an engine has not begun yet is neither interrupted nor lost. */
const begins = ({ folder }: Mesh, file: string): string =>
  `process.getBuiltinModule('node:fs').appendFileSync(${JSON.stringify(join(folder, file))}, 'begun\\n'); await new Promise(() => {})`

for (const isolation of ['thread', 'process'] as const) {
  test(`CONFORMANCE 19: what runs on an interrupted engine ends with an InterruptedError, and the engine stays usable (${isolation})`, async () => {
    mesh = await Mesh.open(2, { isolation })
    const { client } = mesh
    const all = client.view('all')
    await all.execute('kept = 5')
    const failed = fails(all.execute(begins(mesh, 'waits')))
    await until(async () => (await mesh?.trace('waits'))?.length === 2)
    await all.interrupt()
    const { errors } = (await failed) as CompositeError
    const engines = await client.engines()
    expect(errors.map(({ name, code, engine }) => [name, code, engine])).toEqual(
      engines.map(({ id }) => ['InterruptedError', 'TASK_INTERRUPTED', id])
    )
    // It waited, so the engine and its names are still the same.
    expect(await all.apply(() => kept)).toEqual([5, 5])

    const first = client.view(0)
    const computes = first.apply(
      (file: string) => {
        process.getBuiltinModule('node:fs').appendFileSync(file, 'begun\n')
        for (;;);
      },
      join(mesh.folder, 'computes')
    )
    const ended = fails(computes)
    const next = first.apply(() => 'next')
    await until(async () => (await mesh?.trace('computes'))?.length === 1)
    await first.interrupt()
    expect(await ended).toMatchObject({ code: 'TASK_INTERRUPTED', engine: engines[0]?.id })
    expect(await next).toBe('next')
    expect(await client.view(1).apply(() => kept)).toBe(5)
    // Nothing runs: nothing happens.
    await all.interrupt()
    expect(await all.apply(() => 1)).toEqual([1, 1])
  })
}

test('CONFORMANCE 20: who waits for engines that crash when they start hears of it, and of those that never come', async () => {
  mesh = await Mesh.open(1)
  const { client } = mesh
  expect(await client.waitForEngines()).toEqual(await client.engines())
  const late = client.waitForEngines(2)
  await mesh.join()
  expect((await late).length).toBe(2)
  await expect(client.waitForEngines(3, { timeout: 300 })).rejects.toMatchObject({
    code: 'SHOAL_TIMEOUT',
    message: expect.stringContaining('2 of 3 engines')
  })
  await expect(client.waitForEngines(3, { signal: AbortSignal.timeout(300) })).rejects.toMatchObject({
    code: 'SHOAL_CANCELLED'
  })
  await expect(client.waitForEngines(0)).rejects.toMatchObject({ code: 'SHOAL_BAD_OPTION' })
  // Its engines are processes that end before they have read their first message.
  const before = process.env.NODE_OPTIONS
  try {
    process.env.NODE_OPTIONS = `--import=${join(mesh.folder, 'missing.mjs')}`
    const broken = await mesh.join({ isolation: 'process' })
    await expect(client.waitForEngines(3)).rejects.toMatchObject({
      code: 'TASK_POISONED',
      message: expect.stringContaining(broken.id)
    })
  } finally {
    process.env.NODE_OPTIONS = before ?? ''
  }
})

test('CONFORMANCE 21: engines that are restarted are new processes without names, at the same places', async () => {
  mesh = await Mesh.open(2, { isolation: 'process' })
  const { client } = mesh
  const all = client.view('all')
  const before = (await all.execute('kept = process.pid')) as number[]
  const waits = fails(client.view(1).execute(begins(mesh, 'waits')))
  await until(async () => (await mesh?.trace('waits'))?.length === 1)
  const engines = await client.engines()
  await all.restart()
  expect(await waits).toMatchObject({ code: 'ENGINE_LOST', engine: engines[1]?.id })
  expect(await client.engines()).toEqual(engines)
  const after = (await all.apply(() => process.pid)) as number[]
  expect(new Set([...before, ...after]).size).toBe(4)
  const error = (await fails(all.pull('kept'))) as CompositeError
  expect(error.errors.map(({ message }) => message)).toEqual(
    Array(2).fill('kept is not defined on this engine')
  )
})

test('who waits for engines waits no longer than he said, also where no node answers', async () => {
  mesh = await Mesh.open(1)
  await using client = await connect({ key: mesh.key, peers: mesh.nodes[0]?.addresses ?? [], mdns: false })
  await Promise.all(mesh.nodes.splice(0).map((node) => node.stop()))
  await expect(client.waitForEngines(1, { timeout: 300 })).rejects.toMatchObject({
    code: 'SHOAL_TIMEOUT',
    message: expect.stringContaining('0 of 1 engines')
  })
  for (const signal of [AbortSignal.timeout(300), AbortSignal.abort('enough')]) {
    const error = await fails(client.waitForEngines(1, { signal }))
    expect(error).toMatchObject({ code: 'SHOAL_CANCELLED', cause: signal.reason })
  }
})
