/**
 * Sick machines: nodes that stand still for long and come back, and nodes whose clocks are wrong.
 *
 * Not here: how judgements are stretched (test/routing/membership.test.ts). A node is stopped by SIGSTOP, so that it holds its
 * sockets, its work and its opinions, and is silent. 6.5 s are enough to be called down;
 * `npm run test:long` stops it for 20 s.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { NodeStatus } from '../../src/index.ts'
import { Lab, type NodeProcess, untilMeshed, untilStatus } from './processes.ts'

/** Longer than the silence after which others call it down (5 s). */
const isLong = process.env.SHOAL_LONG !== undefined
const stopMs = isLong ? 20_000 : 6_500
const timeout = 120_000 + 2 * stopMs

let lab: Lab

beforeEach(async () => {
  lab = await Lab.open()
})

afterEach(() => lab.close())

const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i)

/** Each run adds a token, so that a second outcome shows. */
const run = async (x: number): Promise<{ square: number; token: string }> => {
  await new Promise((resolve) => setTimeout(resolve, 50))
  return { square: x * x, token: globalThis.crypto.randomUUID() }
}
type Ran = Awaited<ReturnType<typeof run>>
/** The last of 60 ends when it may, so that somebody owns the others for so long. */
const heldRun = async ({ x, mayEnd }: { x: number; mayEnd: string }): Promise<Ran> => {
  const { existsSync } = process.getBuiltinModule('node:fs')
  do await new Promise((resolve) => setTimeout(resolve, 50))
  while (x === 59 && !existsSync(mayEnd))
  return { square: x * x, token: globalThis.crypto.randomUUID() }
}

const droppedIn = (nodes: readonly NodeStatus[]): number =>
  nodes.reduce((sum, { droppedRuns }) => sum + droppedRuns, 0)

test('a node that is stopped and continued rejoins, and what it finished too late changes nothing and is counted', {
  timeout
}, async () => {
  const [a, b, c] = (await lab.mesh(3)) as [NodeProcess, NodeProcess, NodeProcess]
  // The owner of the job stops, which is also its entry and an engine's node; when there is time, so does a mere engine's node.
  const [ofA, reader] = [await lab.attach(a), await lab.attach(b)]
  await untilMeshed(reader, 3)
  for (const stopped of isLong ? [c, a] : [a]) {
    const mayEnd = join(lab.folder, `may-end-${stopped.name}`)
    const before = droppedIn((await reader.status()).nodes)
    const inputs = count(60).map((x) => ({ x, mayEnd }))
    const job = ofA.map(heldRun, inputs)
    job.catch(() => {})
    await job.accepted
    const watched = reader.job<Ran>(job.id)
    const untilDone = (least: number): Promise<unknown> =>
      new Promise((resolve) => watched.onProgress(({ done }) => done >= least && resolve(done)))
    await untilDone(6)
    stopped.pause()
    const resumed = sleep(stopMs).then(() => stopped.resume())
    await untilDone(59)
    await resumed
    // By the owner: another one than before, or the one that was away and took the job over when it was back.
    await untilStatus(reader, (all) => droppedIn(all) > before)
    await writeFile(mayEnd, '')
    const results = await watched
    expect(results.map(({ square }) => square)).toEqual(count(60).map((x) => x * x))
    await untilMeshed(reader, 3)
    // Seen from the node that was away, and by a client that never heard of the job: the same runs.
    const late = await lab.attach(stopped)
    expect(await late.job<Ran>(job.id)).toEqual(results)
    expect(await job).toEqual(results)
  }
  // It takes part again.
  const after = reader.map(run, count(30))
  await after
  const engines = new Set(count(30).map((index) => after.metadata(index)?.engine.split('/')[0]))
  expect(engines).toEqual(new Set([a.id, b.id, c.id]))
})

test('a short stop is no loss: nobody is called down, and nothing runs twice', { timeout }, async () => {
  const [a, b, c] = (await lab.mesh(3)) as [NodeProcess, NodeProcess, NodeProcess]
  const mesh = await lab.attach(a)
  await untilMeshed(mesh, 3)
  const notes = [a, b, c].map((node) => node.notes.length)
  const job = mesh.map(run, count(60))
  await new Promise((resolve) => job.onProgress(({ done }) => done > 5 && resolve(done)))
  c.pause()
  await sleep(2_500)
  c.resume()
  const results = await job
  expect(results.map(({ square }) => square)).toEqual(count(60).map((x) => x * x))
  expect(count(60).map((index) => job.metadata(index)?.attempt)).toEqual(count(60).map(() => 1))
  const said = [a, b, c].flatMap((node, at) => node.notes.slice(notes[at]))
  expect(said.filter((note) => note.includes('is down'))).toEqual([])
})

/** A clock that is days off, and jumps by as much several times a second. */
const wrongClock = (days: number): string[] => {
  const text = `
    const right = globalThis.Date
    const shift = () => ${days} * 86_400_000 * (1 + (Math.floor(right.now() / 150) % 3))
    globalThis.Date = class extends right {
      constructor(...args) { args.length > 0 ? super(...args) : super(right.now() + shift()) }
      static now() { return right.now() + shift() }
    }`
  return ['--import', `data:text/javascript,${encodeURIComponent(text)}`]
}

test('clocks that are days apart and jump change nothing', { timeout }, async () => {
  const a = await lab.start('a', [], { execArgv: wrongClock(-400) })
  const b = await lab.start('b', [a], { execArgv: wrongClock(3) })
  const c = await lab.start('c', [a], { execArgv: wrongClock(0.5), data: join(lab.folder, 'c') })
  const [ofA, mesh] = [await lab.attach(a), await lab.attach(b)]
  await untilMeshed(mesh, 3)
  const job = ofA.map(run, count(100))
  job.catch(() => {})
  await job.accepted
  const watched = mesh.job<Ran>(job.id)
  await new Promise((resolve) => watched.onProgress(({ done }) => done > 20 && resolve(done)))
  const killedAt = performance.now()
  await a.kill()
  const again = await lab.start('a', [b], { execArgv: wrongClock(700) })
  expect((await watched).map(({ square }) => square)).toEqual(count(100).map((x) => x * x))
  expect(performance.now() - killedAt).toBeLessThan(20_000)
  await untilMeshed(mesh, 3)
  expect(again.id).toBe(a.id)
  const said = [b, c].flatMap(({ notes }) => notes).filter((note) => note.includes('is down'))
  expect(new Set(said)).toEqual(new Set([`${a.id} is down`]))
  expect(await (await lab.attach(again)).job<Ran>(job.id)).toEqual(await watched)
})
