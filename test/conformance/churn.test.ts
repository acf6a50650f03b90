/**
 * What users of dask rely on when workers join and leave while work goes on.
 *
 * Not here: nodes that are killed (nodes.test.ts). Names begin with the item of CONFORMANCE.md.
 */
import { writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { NodeOptions } from '../../src/index.ts'
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

test('CONFORMANCE 27: 20 engines join and leave at random for 5 s; every value is exact, and nothing is said twice or overbooked', async () => {
  mesh = await Mesh.open(3)
  const { client } = mesh
  const seed = Date.now() % 100_000
  const random = seededRandom(seed)
  const guestSlots = 4
  const guestsMax = 5
  const join = async (): Promise<unknown> => mesh?.join({ slots: guestSlots })
  await Promise.all(upTo(guestsMax).map(join))
  await until(async () => (await client.engines()).length === 3 + guestSlots * guestsMax)
  const until5s = AbortSignal.timeout(5_000)
  let jobs = 0
  // These nodes keep in memory, so one that goes without a word takes its copies with it, and nobody promises anything about
  // two of three. Of the keepers of a job only one goes so: the job after it may still have been given to the one that went.
  let silentDuring = -2
  const changes = { joined: 0, left: 0 }
  // However slow the machine is.
  const isOver = (): boolean => until5s.aborted && changes.joined >= 3 && changes.left >= 4
  const churn = async (): Promise<void> => {
    while (!isOver()) {
      const guests = mesh?.nodes.slice(3) ?? []
      const guest = random.pick(guests)
      if (guest === undefined || (guests.length < guestsMax && random.chance(0.5))) {
        await join()
        changes.joined++
      } else {
        changes.left++
        if (random.chance(0.5) && jobs > silentDuring + 1) {
          silentDuring = jobs
          await mesh?.take(guest).stop()
        } else await mesh?.take(guest).drain({ timeout: 2_000 })
      }
      await sleep(random.below(60))
    }
  }
  const watch = async (): Promise<void> => {
    while (!isOver()) {
      const engines = (await client.engines()).map(({ id }) => id)
      expect({ seed, engines: engines.toSorted() }).toEqual({
        seed,
        engines: [...new Set(engines)].toSorted()
      })
      for (const { id, slots, running } of await (mesh as Mesh).status())
        expect({ seed, id, isOverbooked: running > slots }).toEqual({ seed, id, isOverbooked: false })
      await sleep(50)
    }
  }
  const work = async (): Promise<void> => {
    for (; !isOver(); jobs++) {
      const inputs = upTo(50 + random.below(400))
      const job = client.map(square, inputs)
      expect({ seed, values: await job }).toEqual({ seed, values: inputs.map((n) => n * n) })
      // Who reads it anew gets the same, each once.
      const came = await Array.fromAsync(client.job<number>(job.id).asCompleted())
      const inOrder = came.toSorted((a, b) => a.index - b.index).map(({ index, value }) => [index, value])
      expect({ seed, inOrder }).toEqual({ seed, inOrder: inputs.map((n) => [n, n * n]) })
      // Each run that was lost or given back is told, before the one that counts.
      for (const n of inputs) {
        const attempts = job.metadata(n)?.earlier.map(({ attempt }) => attempt) ?? []
        const all = [...attempts, job.metadata(n)?.attempt ?? 0]
        expect({ seed, n, all }).toEqual({ seed, n, all: [...new Set(all)].toSorted((a, b) => a - b) })
        expect(all[0]).toBeGreaterThan(0)
      }
    }
  }
  await Promise.all([churn(), watch(), work()])
  expect(jobs).toBeGreaterThan(0)
  // Those who went are missed by all, and nothing of it is left anywhere.
  await mesh.untilMeshed()
  await until(async () => (await mesh?.status())?.every(({ running }) => running === 0) === true)
  expect((await client.engines()).length).toBe(3 + guestSlots * (mesh.nodes.length - 3))
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
  expect(await mesh.take(leaver).drain({ timeout: 10_000 })).toEqual({ tasks: 0, shards: 0, stalled: 0 })
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

test('CONFORMANCE 30: what only the leaving node keeps is moved first, though a node that should take some of it never answers', async () => {
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
  expect(await mesh.take(leaver).drain({ timeout: 30_000 })).toEqual({ tasks: 0, shards: 0, stalled: 0 })
  const { client } = mesh
  expect(await Promise.all(jobs.map(({ id }) => client.job(id)))).toEqual(upTo(12).map((n) => [n * n]))
  expect((await mesh.status()).find(({ id }) => id === mesh?.nodes[0]?.id)?.keeps).toBe(12)
})

const gated = async ({ n, gate }: { n: number; gate: string }): Promise<number> => {
  const { existsSync } = process.getBuiltinModule('node:fs')
  while (!existsSync(gate)) await new Promise((resolve) => setTimeout(resolve, 20))
  return n * n
}

/** Three nodes of which the first one has the engine, and a job that runs there until its gate is open. The second one has left. */
async function openWork(options: Partial<NodeOptions> = {}) {
  mesh = await Mesh.open(1)
  const [first, second] = [await mesh.join({ slots: 0 }), await mesh.join({ slots: 0, ...options })]
  await mesh.untilMeshed()
  const gate = `${mesh.folder}/gate`
  const job = mesh.client.map(
    gated,
    upTo(3).map((n) => ({ n, gate }))
  )
  await job.accepted
  const isKept = async (): Promise<boolean> =>
    (await mesh?.status())?.every(({ keeps }) => keeps === 1) === true
  await until(isKept)
  expect(await mesh.take(first).drain()).toEqual({ tasks: 0, shards: 0, stalled: 0 })
  return { mesh, second: mesh.take(second), job, open: () => writeFile(gate, '') }
}

test('CONFORMANCE 30: of three nodes a second one leaves once what is open has its outcomes where they can still be read', async () => {
  const { mesh, second, job, open } = await openWork()
  let hasLeft = false
  const leaving = second.drain({ timeout: 25_000 }).finally(() => {
    hasLeft = true
  })
  await until(async () => (await mesh.status()).some(({ unavailable }) => unavailable === 'leaving'))
  await sleep(1_000)
  expect(hasLeft).toBe(false)
  await open()
  expect(await leaving).toEqual({ tasks: 0, shards: 0, stalled: 0 })
  expect(await job).toEqual([0, 1, 4])
  expect(await mesh.client.job(job.id)).toEqual([0, 1, 4])
  expect((await mesh.status()).map(({ stalled }) => stalled)).toEqual([0])
})

test('CONFORMANCE 30: a second one of three whose time is up says that open work stands still, which goes on when it is back', async () => {
  const data = `${lab.folder}/second`
  const { mesh, second, job, open } = await openWork({ data })
  expect(await second.drain({ timeout: 1_000 })).toEqual({ tasks: 0, shards: 0, stalled: 1 })
  await until(async () => (await mesh.status()).every(({ stalled }) => stalled === 1))
  await open()
  await mesh.join({ slots: 0, data })
  expect(await job).toEqual([0, 1, 4])
  await until(async () => (await mesh.status()).every(({ stalled }) => stalled === 0))
})

test('a node that has just come finds a job that others keep, though it has met nobody yet', async () => {
  mesh = await Mesh.open(2)
  const job = mesh.client.map((x: number) => x * x, upTo(3))
  expect(await job).toEqual([0, 1, 4])
  const fresh = await mesh.join()
  expect(await fresh.client.job(job.id)).toEqual([0, 1, 4])
})
