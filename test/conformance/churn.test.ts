/**
 * What users of dask rely on when workers join and leave while work goes on.
 *
 * Not here: nodes that are killed (nodes.test.ts). Names begin with the item of CONFORMANCE.md.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { seededRandom } from '../../src/random.ts'
import { Lab, untilMeshed } from '../integration/processes.ts'
import { Mesh, until, upTo } from './mesh.ts'

let mesh: Mesh | undefined
let lab: Lab
beforeEach(async () => {
  lab = await Lab.open()
})
afterEach(async () => {
  await mesh?.close()
  await lab.close()
})

const square = async (n: number): Promise<number> => {
  await new Promise((resolve) => setTimeout(resolve, 5))
  return n * n
}

test('CONFORMANCE 27: nodes join and leave at random for 5 s, and every value is exact', {
  timeout: 60_000
}, async () => {
  mesh = await Mesh.open(3, { slots: 2 })
  const seed = Date.now() % 100_000
  const random = seededRandom(seed)
  const until5s = AbortSignal.timeout(5_000)
  let jobs = 0
  // These nodes keep in memory, so one that goes without a word takes its copies with it, and nobody promises anything about
  // two of three. Of the keepers of a job only one goes so: the job after it may still have been given to the one that went.
  let silentDuring = -2
  const churn = async (): Promise<number> => {
    let changes = 0
    for (; !until5s.aborted; changes++) {
      const guests = mesh?.nodes.slice(3) ?? []
      const guest = random.pick(guests)
      if (guest === undefined || (guests.length < 8 && random.chance(0.5))) await mesh?.join({ slots: 1 })
      else if (random.chance(0.5) && jobs > silentDuring + 1) {
        silentDuring = jobs
        await mesh?.take(guest).stop()
      } else await mesh?.take(guest).drain({ timeout: 2_000 })
      await sleep(random.below(60))
    }
    return changes
  }
  const changes = churn()
  for (; !until5s.aborted; jobs++) {
    const count = 50 + random.below(400)
    const job = mesh.client.map(square, upTo(count))
    expect({ seed, sum: (await job).reduce((sum, n) => sum + n, 0) }).toEqual({
      seed,
      sum: ((count - 1) * count * (2 * count - 1)) / 6
    })
    for (const n of [0, count - 1]) expect(job.metadata(n)?.attempt).toBeGreaterThan(0)
  }
  expect(await changes).toBeGreaterThan(3)
  expect(jobs).toBeGreaterThan(0)
})

test('CONFORMANCE 30: a node that leaves while it runs a task costs that task nothing, and what it kept is moved first', async () => {
  mesh = await Mesh.open(1, { slots: 0 })
  const leaver = await mesh.join()
  await mesh.untilMeshed()
  const file = `${mesh.folder}/30`
  const hold = mesh.client.submit(
    async (path: string) => {
      const { appendFileSync, readFileSync } = process.getBuiltinModule('node:fs')
      appendFileSync(path, 'ran\n')
      const isFirst = readFileSync(path, 'utf8') === 'ran\n'
      if (isFirst) await new Promise((resolve) => setTimeout(resolve, 600_000))
      return 'done'
    },
    [file],
    { retries: 0 }
  )
  await until(async () => (await mesh?.trace('30'))?.length === 1)
  await mesh.join()
  await mesh.untilMeshed()
  // Does not wait for the task: it is given back, and runs again elsewhere from its beginning.
  expect(await mesh.take(leaver).drain({ timeout: 3_000 })).toEqual({ tasks: 0, shards: 0 })
  expect(await hold).toBe('done')
  expect(await mesh.trace('30')).toHaveLength(2)
  expect(hold.metadata).toMatchObject({
    attempt: 2,
    earlier: [{ attempt: 1, how: 'handed back', engine: leaver.id }]
  })
  // No suspicion is left: nothing was lost.
  expect((await mesh.status()).map(({ lostRuns }) => lostRuns)).toEqual([0, 0])
  expect(await mesh.client.job(hold.id)).toEqual(['done'])
})

test('CONFORMANCE 30: what only the leaving node keeps is moved first, though a node that should take some of it does not answer at first', async () => {
  mesh = await Mesh.open(1, { slots: 0, key: lab.key })
  const leaver = await mesh.join({ key: lab.key })
  const still = await lab.start('still', [], {
    slots: 0,
    dials: mesh.nodes.flatMap((node) => node.addresses)
  })
  await untilMeshed(mesh.client, 3)
  // So many that both nodes that stay are to take some of them. A job is kept by the node that it is submitted at first.
  const jobs = upTo(12).map((n) => leaver.client.submit((x: number) => x * x, [n], { keepers: 1 }))
  expect(await Promise.all(jobs)).toEqual(upTo(12).map((n) => n * n))
  expect((await mesh.status()).map(({ id, keeps }) => [id === leaver.id, keeps])).toEqual(
    expect.arrayContaining([
      [true, 12],
      [false, 0]
    ])
  )
  still.pause()
  const drained = mesh.take(leaver).drain({ timeout: 30_000 })
  let isOver = false
  void drained.then(() => {
    isOver = true
  })
  // What the other one takes is there by then; what this one is to take is still with the node that leaves.
  await until(
    async () => (await mesh?.status())?.some(({ id, keeps }) => id !== leaver.id && keeps > 0) === true
  )
  expect(isOver).toBe(false)
  still.resume()
  expect(await drained).toEqual({ tasks: 0, shards: 0 })
  const { client } = mesh
  expect(await Promise.all(jobs.map(({ id }) => client.job(id)))).toEqual(upTo(12).map((n) => [n * n]))
})

test('a node that has just come finds a job that others keep, though it has met nobody yet', async () => {
  mesh = await Mesh.open(2)
  const job = mesh.client.map((x: number) => x * x, upTo(3))
  expect(await job).toEqual([0, 1, 4])
  const fresh = await mesh.join()
  expect(await fresh.client.job(job.id)).toEqual([0, 1, 4])
})
