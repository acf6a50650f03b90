/**
 * Machines that differ and people who share them: what dask users rely on for stealing, restrictions and resources, and more.
 *
 * Not here: what decides it (test/routing/match.test.ts, test/tasks/round.test.ts). Names begin with the item of CONFORMANCE.md.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { connect, type ShoalError } from '../../src/index.ts'
import { Mesh, until, upTo } from './mesh.ts'

let mesh: Mesh | undefined
afterEach(async () => {
  await mesh?.close()
  mesh = undefined
})

/** Notes that it began, and takes its time. */
const note = async ([path, index, ms]: [string, number, number]): Promise<number> => {
  process.getBuiltinModule('node:fs').appendFileSync(path, `${index}\n`)
  await new Promise((resolve) => setTimeout(resolve, ms))
  return index
}
/** How many of its kind ran when it began, itself included. */
const crowd = async ([folder, index, ms]: [string, number, number]): Promise<number> => {
  const { mkdirSync, readdirSync, rmSync, writeFileSync } = process.getBuiltinModule('node:fs')
  mkdirSync(folder, { recursive: true })
  writeFileSync(`${folder}/${index}`, '')
  const count = readdirSync(folder).length
  await new Promise((resolve) => setTimeout(resolve, ms))
  rmSync(`${folder}/${index}`)
  return count
}
const nodeOf = (engine: string | undefined): string => engine?.split('/')[0] ?? ''

test('CONFORMANCE 37, 38: a node that joins a busy mesh gets work, and what has begun elsewhere stays where it is', async () => {
  mesh = await Mesh.open(1, { slots: 1 })
  const tasks = 40
  const path = `${mesh.folder}/37`
  const job = mesh.client.map(
    note,
    upTo(tasks).map((index): [string, number, number] => [path, index, 250])
  )
  await until(async () => ((await mesh?.trace('37'))?.length ?? 0) > 0)
  const joined = await Promise.all([mesh.join(), mesh.join(), mesh.join()])
  expect(await job).toEqual(upTo(tasks))
  const by = new Map<string, number>()
  for (const index of upTo(tasks)) {
    const node = nodeOf(job.metadata(index)?.engine)
    by.set(node, (by.get(node) ?? 0) + 1)
  }
  for (const { id } of joined) expect(by.get(id)).toBeGreaterThan(1)
  // Whatever was moved had not begun: each ran once, as its first attempt.
  expect((await mesh.trace('37')).toSorted()).toEqual(upTo(tasks).map(String).toSorted())
  for (const index of upTo(tasks)) expect(job.metadata(index)?.attempt).toBe(1)
})

test('CONFORMANCE 38: restricted tasks move to nodes that may run them and to no others, and hold up nobody', async () => {
  mesh = await Mesh.open(2, { slots: 1 })
  const path = `${mesh.folder}/38`
  const inputs = upTo(6).map((index): [string, number, number] => [path, index, 20])
  const restricted = mesh.client.map(note, inputs, { requires: { labels: { instrument: 'microscope-3' } } })
  await restricted.accepted
  // Nobody can run them: they wait, while the same client's next tasks run.
  expect(await mesh.client.map((n: number) => n, upTo(20))).toEqual(upTo(20))
  expect(await mesh.trace('38')).toEqual([])
  const explained = await restricted.explain()
  expect(explained).toMatchObject({
    state: 'waiting',
    reason: 'no node that is up has what it requires',
    attempt: 1
  })
  expect(explained.nodes.map(({ missing }) => missing)).toEqual(
    upTo(2).map(() => [{ blockedBy: 'label', name: 'instrument', wants: 'microscope-3', has: '' }])
  )
  const able = await mesh.join({ labels: { instrument: 'microscope-3' } })
  expect(await restricted).toEqual(upTo(6))
  for (const index of upTo(6)) expect(nodeOf(restricted.metadata(index)?.engine)).toBe(able.id)
  // By id, of a node and of an engine.
  const [first] = mesh.nodes
  const there = mesh.client.submit(note, [[path, 7, 0]], { targets: [first?.id ?? ''] })
  await there
  expect(nodeOf(there.metadata?.engine)).toBe(first?.id)
  const engine = mesh.client.submit(note, [[path, 8, 0]], { targets: [`${able.id}/0`] })
  await engine
  expect(engine.metadata?.engine).toBe(`${able.id}/0`)
})

test('CONFORMANCE 39: at most as many run at once as a node has of what they need, also when owners differ', async () => {
  mesh = await Mesh.open(3, { slots: 0 })
  await mesh.join({ slots: 4, resources: { gpu: 2 } })
  await mesh.untilMeshed()
  const folder = `${mesh.folder}/39`
  const inputs = (from: number): [string, number, number][] =>
    upTo(10).map((index) => [folder, from + index, 30])
  const jobs = mesh.nodes
    .slice(0, 3)
    .map(({ client }, at) => client.map(crowd, inputs(100 * at), { requires: { resources: { gpu: 1 } } }))
  // Others go on beside them, on the engines that are left.
  const beside = mesh.client.map((n: number) => n, upTo(50))
  expect(await beside).toEqual(upTo(50))
  const counts = (await Promise.all(jobs)).flat()
  expect(Math.max(...counts)).toBe(2)
  expect(counts).toHaveLength(30)
  const both = mesh.client.map(crowd, inputs(500), { requires: { resources: { gpu: 2 } } })
  expect(Math.max(...(await both))).toBe(1)
})

test('a cancelled task holds its resource until it has really ended', async () => {
  mesh = await Mesh.open(1, { slots: 2, resources: { gpu: 1 } })
  const path = `${mesh.folder}/held`
  const held = mesh.client.submit(note, [[path, 1, 600_000]], { requires: { resources: { gpu: 1 } } })
  await until(async () => (await mesh?.trace('held'))?.length === 1)
  const next = mesh.client.submit(note, [[path, 2, 0]], { requires: { resources: { gpu: 1 } } })
  await next.accepted
  await until(async () => (await next.explain()).reason.includes('in use'))
  const { nodes } = await next.explain()
  expect(nodes[0]?.waitsFor).toEqual([{ blockedBy: 'resource', name: 'gpu', wants: '1', has: '0' }])
  await held.cancel()
  expect(await next).toBe(2)
})

test('what nobody can run ends by its queueTimeout, and its failure says so', async () => {
  mesh = await Mesh.open(1)
  const task = mesh.client.submit((n: number) => n, [1], {
    requires: { labels: { gpu: true } },
    queueTimeout: 300
  })
  const error = await Promise.resolve(task).then(
    () => expect.unreachable(),
    (failure: ShoalError) => failure
  )
  expect(error.code).toBe('TASK_QUEUE_TIMEOUT')
  expect(error.message).toMatch(/no node that takes work has what it requires, \{.*gpu.*\}; explain says/)
})

test('two users with 1,000 and 10 tasks: the second is not behind the first', async () => {
  mesh = await Mesh.open(1, { slots: 0 })
  for (let i = 0; i < 2; i++) await mesh.join({ slots: 1 })
  await mesh.untilMeshed()
  const peers = [...(mesh.nodes[0]?.addresses ?? [])]
  const open = (submitter: string) => connect({ key: (mesh as Mesh).key, peers, mdns: false, submitter })
  await using ann = await open('ann')
  await using ben = await open('ben')
  const work = async (n: number): Promise<number> => {
    await new Promise((resolve) => setTimeout(resolve, 10))
    return n
  }
  const many = ann.map(work, upTo(1_000))
  await many.accepted
  await until(() => many.progress.done > 20)
  const before = many.progress.done
  const few = ben.map(work, upTo(10))
  expect(await few).toEqual(upTo(10))
  const meanwhile = many.progress.done - before
  // Half of the engines' time for each, and what lay at the nodes already: far from behind a thousand.
  expect(meanwhile).toBeLessThan(100)
  await many.cancel()
})

test('higher priorities first', async () => {
  mesh = await Mesh.open(1, { slots: 1 })
  const path = `${mesh.folder}/priority`
  const hold = mesh.client.submit(note, [[path, 0, 400]])
  await until(async () => (await mesh?.trace('priority'))?.length === 1)
  const jobs = [1, 5, 3].map((priority) =>
    mesh?.client.map(
      note,
      upTo(3).map((at): [string, number, number] => [path, 10 * priority + at, 1]),
      { priority }
    )
  )
  for (const job of jobs) await job?.accepted
  await hold
  await Promise.all(jobs.map((job) => job?.then()))
  const order = (await mesh.trace('priority')).slice(1).map(Number)
  // One task may have lain at the node before the others came.
  const placeOf = (priority: number): number => order.indexOf(10 * priority + 2)
  expect(placeOf(5)).toBeLessThan(placeOf(3))
  expect(placeOf(3)).toBeLessThan(placeOf(1))
  await sleep(0)
})
