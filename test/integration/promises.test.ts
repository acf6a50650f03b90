/**
 * The table of promises, cell by cell, on real processes that are killed: a test is named by its property and its column.
 *
 * Not here: what only the simulator can show (every order of events, lost syncs), and splits (hosts.test.ts).
 * Every run of a task adds a token, so that a second outcome of a task shows wherever it is read. Three nodes go through most of it
 * one test after the other, as nodes do, so each test leaves three that are up.
 */
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Client, type Completed, connect, type JobHandle } from '../../src/index.ts'
import { Lab, type NodeProcess, untilMeshed, untilStatus } from './processes.ts'

const timeout = 60_000
const clients: Client[] = []
const labs: Lab[] = []

async function attach(...nodes: readonly NodeProcess[]): Promise<Client> {
  const [first] = nodes
  const lab = labs.at(-1)
  if (lab === undefined || first === undefined) throw new Error('no lab, or nobody in it')
  const client = await connect({ key: lab.key, peers: nodes.map(({ address }) => address), mdns: false })
  clients.push(client)
  return client
}

async function openLab(): Promise<Lab> {
  const lab = await Lab.open()
  labs.push(lab)
  return lab
}

type Three = [NodeProcess, NodeProcess, NodeProcess]

const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i)
const run = async (x: number): Promise<{ square: number; token: string }> => {
  await new Promise((resolve) => setTimeout(resolve, 30))
  return { square: x * x, token: globalThis.crypto.randomUUID() }
}
type Ran = Awaited<ReturnType<typeof run>>

async function expectRight(job: PromiseLike<Ran[]>, tasks: number): Promise<Ran[]> {
  const results = await job
  expect(results.map(({ square }) => square)).toEqual(count(tasks).map((x) => x * x))
  return results
}

/** Accepted, and begun; in an object, since a job is awaitable. */
async function begun(client: Client, tasks: number, done = 5): Promise<{ job: JobHandle<Ran> }> {
  const job = client.map(run, count(tasks))
  job.catch(() => {})
  await job.accepted
  if (done > 0) await new Promise((resolve) => job.onProgress((now) => now.done >= done && resolve(now)))
  return { job }
}

/** Notes each start in a file: a run whose outcome is lost does not go unseen either. */
const noting = async (input: { x: number; file: string }): Promise<number> => {
  process.getBuiltinModule('node:fs').appendFileSync(input.file, `${input.x}\n`)
  await new Promise((resolve) => setTimeout(resolve, 30))
  return input.x
}

async function starts(file: string): Promise<number[]> {
  const text = await readFile(file, 'utf8').catch(() => '')
  return text.split('\n').filter(Boolean).map(Number)
}

const expectOnce = (started: readonly number[]): void =>
  expect(started.toSorted((a, b) => a - b)).toEqual([...new Set(started)].toSorted((a, b) => a - b))

/** Everybody at once, and everybody again from their old disks. */
async function cutPower(lab: Lab, nodes: readonly NodeProcess[]): Promise<NodeProcess[]> {
  await Promise.all(nodes.map((node) => node.kill()))
  const [first, ...others] = nodes.map(({ name }) => name)
  const again = await lab.start(first as string)
  return [again, ...(await Promise.all(others.map((name) => lab.start(name, [again]))))]
}

let lab: Lab
let nodes: Three

beforeAll(async () => {
  lab = await openLab()
  nodes = (await lab.mesh(3)) as Three
  await untilMeshed(await attach(nodes[0]), 3)
}, timeout)
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()))
  await Promise.all(labs.splice(1).map((own) => own.close()))
})
afterAll(() => lab?.close())

describe('everything up', { timeout }, () => {
  test('submit is accepted: yes', async () => {
    for (const node of nodes) {
      const { job } = await begun(await attach(node), 20, 0)
      expect((await job.accepted).copies).toBeGreaterThanOrEqual(2)
      await expectRight(job, 20)
    }
  })

  test('at least once execution: yes', async () => {
    const job = (await attach(nodes[1])).map(run, count(100))
    await expectRight(job, 100)
    expect(count(100).map((index) => job.metadata(index)?.attempt)).toEqual(count(100).map(() => 1))
  })

  test('one committed outcome per task, never changed: yes', async () => {
    const job = (await attach(nodes[0])).map(run, count(50))
    const results = await expectRight(job, 50)
    for (const node of nodes) expect(await (await attach(node)).job<Ran>(job.id)).toEqual(results)
  })

  test('at most once: yes', async () => {
    const file = join(lab.folder, 'once')
    const inputs = count(60).map((x) => ({ x, file }))
    expect(await (await attach(nodes[0])).map(noting, inputs, { atMostOnce: true })).toEqual(count(60))
    expect((await starts(file)).toSorted((a, b) => a - b)).toEqual(count(60))
  })

  test('accepted work is not lost: it survives power cuts without its client', async () => {
    const submitter = await attach(nodes[0])
    const ids: string[] = []
    for (const tasks of [1, 40, 120]) ids.push((await begun(submitter, tasks, 0)).job.id)
    await submitter.close()
    let again: NodeProcess[] = nodes
    for (let cut = 0; cut < 3; cut++) {
      await sleep(300)
      again = await cutPower(lab, again)
    }
    nodes = again as Three
    const reader = await attach(nodes[2])
    for (const [at, tasks] of [1, 40, 120].entries()) await expectRight(reader.job<Ran>(ids[at] ?? ''), tasks)
  })
})

describe('a minority of the keepers lost', { timeout }, () => {
  test('submit is accepted: yes, also before anybody noticed, and then on other keepers', async () => {
    const lab = await openLab()
    const [a, b, c] = (await lab.mesh(3)) as Three
    const client = await attach(a)
    await untilMeshed(client, 3)
    const d = await lab.start('n4', [a, b, c])
    await untilMeshed(client, 4)
    c.pause()
    const unnoticed = count(8).map(() => client.map(run, count(2)))
    for (const job of unnoticed) await job.accepted
    await c.kill()
    await untilMeshed(client, 3)
    const before = (await client.status()).nodes.find(({ id }) => id === d.id)?.keeps ?? 0
    const noticed = count(8).map(() => client.map(run, count(2)))
    for (const job of noticed) await job.accepted
    // Three are left for three copies, so each of these is kept by all of them.
    const after = await untilStatus(client, (seen) =>
      seen.some(({ id, keeps }) => id === d.id && keeps >= before + noticed.length)
    )
    expect(after).toHaveLength(3)
    for (const job of [...unnoticed, ...noticed]) await expectRight(job, 2)
  })

  test('accepted work is not lost: it survives the loss of a disk, and power cuts after it', async () => {
    const [a, b, c] = nodes
    const client = await attach(a)
    await untilMeshed(client, 3)
    const { job } = await begun(client, 100)
    await client.close()
    await c.kill()
    await rm(join(lab.folder, c.name), { recursive: true })
    const [a2, b2] = (await cutPower(lab, [a, b])) as [NodeProcess, NodeProcess]
    // Under the old name and with an empty disk it is another node, which promised nothing.
    const c2 = await lab.start(c.name, [a2, b2])
    nodes = [a2, b2, c2]
    expect(c2.id).not.toBe(c.id)
    await expectRight((await attach(c2)).job<Ran>(job.id), 100)
  })

  test('at least once execution: yes, recovery within seconds', async () => {
    const [a, b, c] = nodes
    const again: NodeProcess[] = []
    const reader = await attach(b)
    await untilMeshed(reader, 3)
    for (const victim of [a, c]) {
      // Single tasks are owned by their entry; a is one, and c is only an engine's node here.
      const { job } = await begun(await attach(a === victim ? a : b), 100)
      const watched = reader.job<Ran>(job.id)
      const times: number[] = []
      watched.onProgress(() => times.push(performance.now()))
      await victim.kill()
      times.push(performance.now())
      await expectRight(watched, 100)
      const gaps = times.slice(1).map((time, at) => time - (times[at] ?? time))
      expect(Math.max(...gaps)).toBeLessThan(5_000)
      const back = await lab.start(victim.name, [b])
      again.push(back)
      await untilMeshed(reader, 3)
      expect(back.id).toBe(victim.id)
    }
    const [a2 = a, c2 = c] = again
    nodes = [a2, b, c2]
  })

  test('one committed outcome per task, never changed: yes', async () => {
    const [a, b, c] = nodes
    const client = await attach(a, b, c)
    await untilMeshed(client, 3)
    const { job } = await begun(client, 100, 20)
    // Its owner: the entry of a job of one shard.
    await a.kill()
    const results = await expectRight(job, 100)
    const again = await lab.start(a.name, [b, c])
    nodes = [again, b, c]
    for (const node of nodes) expect(await (await attach(node)).job<Ran>(job.id)).toEqual(results)
  })
})

describe('at most once, when nodes are lost', { timeout }, () => {
  test('a minority of the keepers lost: yes; what was under way is TASK_UNKNOWN, and the rest runs', async () => {
    const [a, b, c] = nodes
    const client = await attach(a)
    await untilMeshed(client, 3)
    const file = join(lab.folder, 'once-minority')
    const inputs = count(100).map((x) => ({ x, file }))
    const job = client.map(noting, inputs, { atMostOnce: true, returnErrors: true })
    await new Promise((resolve) => job.onProgress(({ done }) => done > 10 && resolve(done)))
    const before = b.notes.length
    await c.kill()
    const results: unknown[] = await job
    const unknown = results.flatMap((result, x) => (result instanceof Error ? [x] : []))
    for (const x of unknown) expect(results[x]).toMatchObject({ code: 'TASK_UNKNOWN' })
    // One engine had one task under way, and few that it was allowed to begin.
    expect(unknown.length).toBeLessThan(20)
    expect(results.filter((result, x) => result !== x)).toHaveLength(unknown.length)
    const started = await starts(file)
    expectOnce(started)
    for (const x of count(100)) if (!unknown.includes(x)) expect(started).toContain(x)
    expect(b.notes.slice(before).some((note) => note.includes(`${c.id} is down`))).toBe(true)
    nodes = [a, b, await lab.start(c.name, [a])]
  })

  test('a majority of them unreachable: not started, until they are back', async () => {
    const [a, b, c] = nodes
    const client = await attach(a)
    await untilMeshed(client, 3)
    const file = join(lab.folder, 'once-majority')
    const inputs = count(150).map((x) => ({ x, file }))
    const job = client.map(noting, inputs, { atMostOnce: true, returnErrors: true })
    await new Promise((resolve) => job.onProgress(({ done }) => done > 10 && resolve(done)))
    await Promise.all([b.kill(), c.kill()])
    await untilMeshed(client, 1)
    // What had its permit when they went may begin.
    await sleep(1_000)
    const before = await starts(file)
    await sleep(2_000)
    expect(await starts(file)).toEqual(before)
    expect(before.length).toBeLessThan(150)
    const b2 = await lab.start(b.name, [a])
    nodes = [a, b2, await lab.start(c.name, [a, b2])]
    const results: unknown[] = await job
    for (const [x, result] of results.entries())
      if (result !== x) expect(result).toMatchObject({ code: 'TASK_UNKNOWN' })
    expectOnce(await starts(file))
  })
})

describe('a majority of the keepers unreachable', { timeout }, () => {
  let alone: Client
  let job: JobHandle<Ran>
  const seen = new Map<number, string>()

  beforeAll(async () => {
    const [a, b, c] = nodes
    alone = await connect({ key: lab.key, peers: [a.address], mdns: false })
    await untilMeshed(alone, 3)
    job = alone.map(run, count(150))
    await job.accepted
    // It ends with its client.
    watch(job.asCompleted()).catch(() => {})
    await vi.waitUntil(() => seen.size > 10, { timeout, interval: 5 })
    await Promise.all([b.kill(), c.kill()])
    await untilMeshed(alone, 1)
  }, timeout)
  afterAll(() => alone?.close())

  async function watch(results: AsyncIterable<Completed<Ran>>): Promise<void> {
    for await (const result of results)
      if (result.error === undefined) seen.set(result.index, result.value.token)
  }

  test('one committed outcome per task, never changed: no new commits there', async () => {
    // What was on its way when the others went.
    await sleep(200)
    const before = seen.size
    await sleep(3_000)
    expect(seen.size).toBe(before)
    expect(before).toBeLessThan(150)
  })

  test('submit is accepted: yes if enough keepers can be found, else a clear error', async () => {
    await expectRight(alone.map(run, count(5)), 5)
    const refused = alone.map(run, count(5), { keepers: { min: 2 } })
    await expect(refused).rejects.toMatchObject({
      code: 'SHOAL_NO_KEEPERS',
      message: expect.stringMatching(
        /1 nodes can keep work, 2 are asked for; start more, .* restart those whose disk failed/
      )
    })
  })

  test('accepted work is not lost: kept; goes on when they are back, and what was committed stays', async () => {
    const before = new Map(seen)
    const [a, b0, c0] = nodes
    const b = await lab.start(b0.name, [a])
    const c = await lab.start(c0.name, [a, b])
    const results = await expectRight((await attach(b)).job<Ran>(job.id), 150)
    for (const [index, token] of before) expect(results[index]?.token).toBe(token)
    await expect.poll(() => seen.size, { timeout }).toBe(150)
    expect(await (await attach(c)).job<Ran>(job.id)).toEqual(results)
    nodes = [a, b, c]
  })

  test('at least once execution: waits, or is resubmitted by its client', async () => {
    const [a, b, c] = nodes
    const client = await attach(a, b, c)
    await untilMeshed(client, 3)
    const file = join(lab.folder, 'at-least-once')
    const waits = client.map(
      noting,
      count(100).map((x) => ({ x, file }))
    )
    await new Promise((resolve) => waits.onProgress(({ done }) => done > 5 && resolve(done)))
    for (const node of [b, c]) node.pause()
    // What was on its way when they fell silent.
    await sleep(200)
    const { done } = waits.progress
    await sleep(1_500)
    expect(waits.progress.done).toBe(done)
    expect(done).toBeLessThan(100)
    for (const node of [b, c]) node.resume()
    expect(await waits).toEqual(count(100))
    expect([...new Set(await starts(file))].toSorted((x, y) => x - y)).toEqual(count(100))

    a.pause()
    const resubmitted = client.map(run, count(20))
    await sleep(100)
    await a.kill()
    await expectRight(resubmitted, 20)
    nodes = [await lab.start(a.name, [b, c]), b, c]
  })
})

describe('two nodes, one node', { timeout }, () => {
  test('two nodes: one is enough to go on, and to read what both had', async () => {
    const lab = await openLab()
    const [a, b] = (await lab.mesh(2)) as [NodeProcess, NodeProcess]
    const client = await attach(a, b)
    await untilMeshed(client, 2)
    const { job } = await begun(client, 80)
    await a.kill()
    const results = await expectRight(job, 80)
    const again = await lab.start('n1', [b])
    expect(await (await attach(again)).job<Ran>(job.id)).toEqual(results)
  })

  test('two nodes: what they kept is grown to three copies when a third node comes', async () => {
    const lab = await openLab()
    const [a, b] = (await lab.mesh(2)) as [NodeProcess, NodeProcess]
    const client = await attach(a)
    await untilMeshed(client, 2)
    const done = client.map(run, count(30))
    const results = await expectRight(done, 30)
    const { job: open } = await begun(client, 150)
    const c = await lab.start('n3', [a, b])
    await untilStatus(await attach(c), (seen) => seen.some(({ id, keeps }) => id === c.id && keeps >= 2))
    await expectRight(open, 150)
    // Nobody needs to own a shard any more once all its keepers have all of it.
    await untilStatus(client, (seen) => seen.every(({ owns }) => owns === 0))
    await client.close()
    await Promise.all([a.kill(), b.kill()])
    const last = await attach(c)
    expect(await last.job<Ran>(done.id)).toEqual(results)
    await expectRight(last.job<Ran>(open.id), 150)
  })

  test('one node: keeps alone what it was given, over a power cut, and refuses what asks for more', async () => {
    const lab = await openLab()
    const [a] = (await lab.mesh(1)) as [NodeProcess]
    const client = await attach(a)
    await expect(client.map(run, [1], { keepers: { min: 2 } })).rejects.toMatchObject({
      code: 'SHOAL_NO_KEEPERS'
    })
    const { job } = await begun(client, 60)
    expect(await job.accepted).toEqual({ copies: 1 })
    await client.close()
    const [again] = (await cutPower(lab, [a])) as [NodeProcess]
    await expectRight((await attach(again)).job<Ran>(job.id), 60)
  })
})
