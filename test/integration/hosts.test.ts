/**
 * Five hosts whose network splits, loses in one direction, and is slow: what DESIGN promises on both sides, and after healing.
 *
 * Not here: how the network is made bad (hosts.ts). Left out, with the reason, where this machine has no network namespaces.
 * Every run of a task adds a token, so that two outcomes of one task show wherever they are read.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { PeerId } from '../../src/ids.ts'
import { type Client, connect, type JobHandle } from '../../src/index.ts'
import { seededRandom } from '../../src/random.ts'
import { rankKeepers } from '../../src/routing/placement.ts'
import { Hosts } from './hosts.ts'
import { Lab, type NodeProcess, untilStatus } from './processes.ts'

const refusal = Hosts.refusal()
if (refusal !== undefined) console.warn(`tests of several hosts are left out here: ${refusal}`)
const timeout = 120_000
const all = [1, 2, 3, 4, 5]

let lab: Lab
let hosts: Hosts
const nodes: NodeProcess[] = []
/** `clients[i]` is attached to host `i + 1`. */
const clients: Client[] = []

beforeAll(async () => {
  if (refusal !== undefined) return
  lab = await Lab.open()
  hosts = await Hosts.open(all.length, seededRandom(5))
  lab.undo(() => hosts.close())
  for (const at of all) {
    const { forHosts, forUs } = hosts.listen(at)
    nodes.push(
      await lab.start(`h${at}`, [], {
        within: hosts.within(at),
        listen: [forHosts, forUs],
        dials: at === 1 ? [] : [hosts.listen(1).forHosts],
        // Keepers on the other side of a split are replaced while it lasts.
        more: { replaceAfter: 4_000 }
      })
    )
    clients.push(await connect({ key: lab.key, peers: [forUs], mdns: false }))
  }
  await untilWhole()
}, timeout)

afterAll(async () => {
  if (refusal !== undefined) return
  await Promise.all(clients.map((client) => client.close()))
  await lab.close()
})

const at = (host: number): Client => clients[host - 1] as Client
const untilWhole = async (): Promise<unknown> =>
  Promise.all(
    clients.map((client) =>
      untilStatus(client, (seen) => seen.length === 5 && seen.every(({ peers }) => peers === 4))
    )
  )
/** Each host of these sees exactly the others of these. */
const untilApart = async (...side: number[]): Promise<unknown> =>
  Promise.all(side.map((host) => untilStatus(at(host), (seen) => seen.length === side.length)))

const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i)
const run = async (x: number): Promise<{ square: number; token: string }> => {
  await new Promise((resolve) => setTimeout(resolve, 40))
  return { square: x * x, token: globalThis.crypto.randomUUID() }
}
type Ran = Awaited<ReturnType<typeof run>>

async function expectRight(job: PromiseLike<Ran[]>, tasks: number): Promise<Ran[]> {
  const results = await job
  expect(results.map(({ square }) => square)).toEqual(count(tasks).map((x) => x * x))
  return results
}

/** Every host shows the same outcome of every task of these jobs. */
async function expectSame(jobs: ReadonlyMap<string, readonly Ran[]>): Promise<void> {
  for (const [id, results] of jobs)
    for (const client of clients) expect(await client.job<Ran>(id), id).toEqual(results)
}

/** Accepted by way of `host`, in work, and with two of its three keepers among `side`. In an object, since a job is awaitable. */
const begun = (host: number, side: readonly number[]): Promise<{ job: JobHandle<Ran> }> =>
  begunAs(host, side, () => at(host).map(run, count(60)))

async function begunAs<T>(
  host: number,
  side: readonly number[],
  submit: (tries: number) => JobHandle<T>
): Promise<{ job: JobHandle<T> }> {
  const entry = nodes[host - 1]?.id as PeerId
  const members = await at(host).members()
  for (let tries = 0; tries < 50; tries++) {
    const job = submit(tries)
    job.catch(() => {})
    const candidates = members.map(({ id, zone }) => ({ peer: id as PeerId, zone }))
    const ranked = rankKeepers(`${job.id}/0`, candidates)
    // A job of one shard is kept by its entry first.
    const keepers = [entry, ...ranked.filter((peer) => peer !== entry)].slice(0, 3)
    if (side.filter((one) => keepers.some((peer) => peer === nodes[one - 1]?.id)).length >= 2) {
      await job.accepted
      return { job }
    }
    await job.cancel()
  }
  throw new Error(`no job of host ${host} has two keepers among ${side}; members are ${members.length}`)
}

/** Notes each start, and at which node: its engines are threads of its process. */
const noting = async ({ x, file }: { x: number; file: string }): Promise<number> => {
  process.getBuiltinModule('node:fs').appendFileSync(file, `${x} ${process.pid}\n`)
  await new Promise((resolve) => setTimeout(resolve, 100))
  return x
}

interface Once {
  readonly job: JobHandle<number>
  /** The tasks that began so far, at these hosts or at any. */
  began(...hosts: number[]): number[]
}

async function begunOnce(host: number, side: readonly number[]): Promise<Once> {
  let file = ''
  const { job } = await begunAs(host, side, (tries) => {
    file = join(lab.folder, `once-${host}-${side.join('')}-${tries}`)
    const inputs = count(60).map((x) => ({ x, file }))
    return at(host).map(noting, inputs, { atMostOnce: true, returnErrors: true }) as JobHandle<number>
  })
  const began = (...hosts: number[]): number[] =>
    (existsSync(file) ? readFileSync(file, 'utf8') : '')
      .split('\n')
      .filter(Boolean)
      .map((line) => line.split(' ').map(Number) as [number, number])
      .filter(([, pid]) => hosts.length === 0 || hosts.some((one) => nodes[one - 1]?.pid === pid))
      .map(([x]) => x)
  return { job, began }
}

/** Each has its result and ran, or is TASK_UNKNOWN; those are few, and none ran twice. */
async function expectOnce(results: PromiseLike<unknown[]>, began: () => number[]): Promise<void> {
  const unknown = (await results).filter((result, x) => result !== x)
  for (const one of unknown) expect(one).toMatchObject({ code: 'TASK_UNKNOWN' })
  // An engine on the other side had one under way, and few that it was allowed to begin.
  expect(unknown.length).toBeLessThan(40)
  expect(began().length).toBe(new Set(began()).size)
  expect(began().length).toBeGreaterThanOrEqual(60 - unknown.length)
}

test.skipIf(refusal !== undefined)(
  'a split of three and two: each side does what it has the keepers for, and they agree when it heals',
  { timeout },
  async () => {
    const { job: few } = await begun(4, [4, 5])
    const { job: many } = await begun(1, [1, 2, 3])
    const [fewOnce, manyOnce] = [await begunOnce(4, [4, 5]), await begunOnce(1, [1, 2, 3])]
    const { job: crossed } = await begun(4, [1, 2, 3])
    const crossedOnce = await begunOnce(4, [1, 2, 3])
    hosts.split([4, 5])
    const outcomes = new Map<string, readonly Ran[]>()
    const keep = async (job: JobHandle<Ran>, tasks: number): Promise<void> =>
      void outcomes.set(job.id, await expectRight(job, tasks))

    // Submit is accepted, with or without time to notice the split; the others take the part of keepers that are away.
    const hasty = at(1).map(run, count(20))
    await keep(hasty, 20)
    await Promise.all([untilApart(1, 2, 3), untilApart(4, 5)])
    // What host 4 owns without a majority of its keepers has come as far as it does there.
    const [seenThere, beganThere] = [crossed.progress.done, crossedOnce.began(4, 5)]
    expect(seenThere).toBeLessThan(60)
    expect(beganThere.length).toBeLessThan(60)
    await keep(at(2).map(run, count(20)), 20)

    // Work with a majority of its keepers here goes on here, whoever owned it; and there, there.
    await keep(many, 60)
    const crossedHere = at(3).job<Ran>(crossed.id)
    await keep(crossedHere, 60)
    await keep(few, 60)
    await expectOnce(manyOnce.job, manyOnce.began)
    await expectOnce(fewOnce.job, fewOnce.began)
    const crossedOnceHere = at(3).job<number>(crossedOnce.job.id, { returnErrors: true })
    await expectOnce(crossedOnceHere, crossedOnce.began)

    // The minority side: accepted if the keepers that are asked for can be found, else an error that says so.
    await keep(at(4).map(run, count(10)), 10)
    const refused = at(5).map(run, count(10), { keepers: { min: 3 } })
    await expect(refused).rejects.toMatchObject({ code: 'SHOAL_NO_KEEPERS' })
    // No new commits there, and nothing that runs at most once was started.
    expect(crossed.progress.done).toBe(seenThere)
    expect(crossedOnce.began(4, 5)).toEqual(beganThere)

    hosts.heal()
    await untilWhole()
    expect(await crossedOnce.job).toEqual(await crossedOnceHere)
    for (const { job, began } of [fewOnce, manyOnce, crossedOnce]) await expectOnce(job, began)
    // The client on the minority side gets what was committed on the other, and so does everybody.
    expect(await crossed).toEqual(outcomes.get(crossed.id))
    await expectSame(outcomes)
  }
)

test.skipIf(refusal !== undefined)(
  'kept and not lost: work whose keepers are apart waits, and goes on when they meet',
  { timeout },
  async () => {
    const { job } = await begun(1, [1, 2, 3])
    // Each host alone: no majority of anything.
    for (const host of all) hosts.split([host])
    await Promise.all(all.map((host) => untilApart(host)))
    const { done: before } = job.progress
    const submitted = at(2).map(run, count(10), { keepers: { min: 2 } })
    await expect(submitted).rejects.toMatchObject({ code: 'SHOAL_NO_KEEPERS' })
    expect(job.progress.done).toBe(before)
    expect(before).toBeLessThan(60)
    hosts.heal()
    await untilWhole()
    await expectSame(new Map([[job.id, await expectRight(job, 60)]]))
  }
)

test.skipIf(refusal !== undefined)(
  'loss in one direction only: all that is submitted at either end completes',
  { timeout },
  async () => {
    const earlier = [await begun(1, [1, 5]), await begun(5, [1, 5])]
    hosts.cutOneWay(1, 5)
    hosts.cutOneWay(2, 4)
    const outcomes = new Map<string, readonly Ran[]>()
    for (const { job } of earlier) outcomes.set(job.id, await expectRight(job, 60))
    for (const host of [1, 5, 2, 4]) {
      const job = at(host).map(run, count(20))
      outcomes.set(job.id, await expectRight(job, 20))
    }
    hosts.heal()
    await untilWhole()
    await expectSame(outcomes)
  }
)

test.skipIf(refusal !== undefined)(
  '200 ms of delay and 5 % of loss: slower, and otherwise the same',
  { timeout },
  async () => {
    hosts.setWeather({ delayMs: 200, loss: 0.05 })
    const outcomes = new Map<string, readonly Ran[]>()
    const from = performance.now()
    const jobs = [1, 3, 5].map((host) => at(host).map(run, count(40)))
    // No majority is closer than there and back, or this test would be about nothing.
    await Promise.all(jobs.map(({ accepted }) => accepted))
    expect(performance.now() - from).toBeGreaterThan(400)
    for (const job of jobs) outcomes.set(job.id, await expectRight(job, 40))
    hosts.heal()
    await untilWhole()
    await expectSame(outcomes)
  }
)
