/**
 * Locks, queues and variables of real nodes and clients that are killed, stand still, and come back.
 *
 * Not here: what they do while all is well (test/conformance/coordination.test.ts).
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Client } from '../../src/index.ts'
import { programOf } from './prepare.ts'
import { Lab, type NodeProcess, untilMeshed } from './processes.ts'

const holder = programOf(new URL('./holder.ts', import.meta.url))
let lab: Lab
/** One mesh for all tests, one after the other: whoever is killed is started again. */
let nodes: NodeProcess[]
const clients: Client[] = []
beforeAll(async () => {
  lab = await Lab.open()
  nodes = await lab.mesh(3, 0)
})
afterEach(() => Promise.all(clients.splice(0).map((client) => client.close())))
afterAll(() => lab.close())

async function attach(...to: readonly NodeProcess[]): Promise<Client> {
  const client = await lab.attach(...to)
  clients.push(client)
  await untilMeshed(client, 3)
  return client
}

/** A client in a process of its own that holds the lock; what it says is its token. */
async function holds(name: string, lease: number, entry: NodeProcess) {
  const child = fork(holder, [lab.keyFile, entry.address, name, `${lease}`])
  const ended = once(child, 'exit').then(() => Promise.reject(new Error('the holder ended')))
  const [token] = (await Promise.race([once(child, 'message'), ended])) as [number]
  ended.catch(() => {})
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  lab.undo(() => child.kill('SIGKILL'))
  return { token, kill }
}

test('CONFORMANCE 41: the lock of a client that is killed goes to who waits for it, with a higher token', async () => {
  const client = await attach(...nodes)
  const { token, kill } = await holds('printer', 4_000, nodes[1] as NodeProcess)
  await expect(client.lock('printer').acquire({ timeout: 9_000 })).rejects.toMatchObject({
    code: 'SHOAL_TIMEOUT'
  })
  const waiting = client.lock('printer').acquire()
  await kill()
  expect((await waiting).token).toBeGreaterThan(token)
})

test('a holder that stands still for longer than its lease knows so before it does anything', async () => {
  const client = await attach(...nodes)
  const other = await attach(...nodes.slice(1))
  const hold = await client.lock('plotter', { lease: 4_000 }).acquire()
  const waiting = other.lock('plotter').acquire()
  await other.variable('asked').set(true)
  expect(hold.isHeld).toBe(true)
  // Nothing of this process runs meanwhile.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 8_000)
  expect(hold.isHeld).toBe(false)
  expect(hold.signal.reason).toMatchObject({ code: 'SHOAL_LEASE_LOST' })
  expect((await waiting).token).toBeGreaterThan(hold.token)
  await expect(hold.release()).rejects.toMatchObject({ code: 'SHOAL_LEASE_LOST' })
  expect(await client.lock('plotter').isHeld()).toBe(true)
})

test('CONFORMANCE 41: nodes are killed one after another, and come back; no item and no lock is lost or doubled', async () => {
  const client = await attach(...nodes)
  const queue = client.queue<number>('work')
  const lock = client.lock('single', { lease: 6_000 })
  await using hold = await lock.acquire()
  const got: number[] = []
  let put = 0
  const turn = async (): Promise<void> => {
    await queue.put(put++)
    await queue.put(put++)
    got.push(await queue.get())
    expect(await client.lock('single').tryAcquire()).toBeUndefined()
  }
  for (const at of nodes.keys()) {
    await turn()
    const killed = nodes[at] as NodeProcess
    await killed.kill()
    await turn()
    const others = nodes.filter((node) => node !== killed)
    nodes[at] = await lab.start(killed.name, others, { slots: 0 })
    await untilMeshed(client, 3)
    await turn()
  }
  while ((await queue.size()) > 0) got.push(await queue.get())
  expect(got).toEqual(Array.from({ length: put }, (_, i) => i))
  expect(hold.isHeld).toBe(true)
})

test('all nodes lose their power at once: what was there is there, and a lock waits for its holder as before', async () => {
  const client = await attach(...nodes)
  await client.variable('kept').set({ a: 1 })
  const { token } = await client.lock('kept', { lease: 60_000 }).acquire()
  await Promise.all(nodes.map((node) => node.kill()))
  const again: NodeProcess[] = []
  for (const { name } of nodes) again.push(await lab.start(name, again, { slots: 0 }))
  nodes = again
  const late = await attach(...nodes)
  expect(await late.variable('kept').get()).toEqual({ a: 1 })
  expect(await late.lock('kept').tryAcquire()).toBeUndefined()
  expect(token).toBe(1)
})

test('a minority refuses, says whom it misses, and goes on when they are back', async () => {
  const client = await attach(...nodes)
  const counter = client.variable<number>('counter')
  await counter.set(1)
  const [first, ...others] = nodes as [NodeProcess, NodeProcess, NodeProcess]
  const local = await attach(first)
  for (const node of others) node.pause()
  const refusal = await local
    .variable('counter')
    .set(2)
    .catch((error: Error) => error)
  expect(refusal).toMatchObject({ code: 'SHOAL_NO_QUORUM', retryable: true })
  expect((refusal as Error).message).toContain(others[0]?.id)
  for (const node of others) node.resume()
  await local.variable('counter').set(3)
  expect(await counter.get()).toBe(3)
})
