/**
 * What users of dask expect of locks, semaphores, queues, events and variables, and what a mesh adds: they outlive nodes.
 *
 * Not here: nodes and clients whose processes are killed (test/integration/coordination.test.ts), and that every order of
 * things keeps what is promised, which the simulator judges (test/sim/cells.ts).
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Client, connect, moduleFunction } from '../../src/index.ts'
import { Mesh, until, upTo } from './mesh.ts'

const work = new URL('./coordinating.ts', import.meta.url)
const coded = (code: string): object => expect.objectContaining({ code })
const say = (text: string): object => expect.stringContaining(text)

describe('three nodes', () => {
  let mesh: Mesh
  let one: Client
  let two: Client
  beforeAll(async () => {
    mesh = await Mesh.open(3, { slots: 1, isolation: 'process' })
    one = mesh.client
    two = mesh.nodes[1]?.client as Client
  })
  afterAll(() => mesh.close())

  test('CONFORMANCE 41: the lock of a holder whose process dies is freed, with a higher token, also if nobody waits for it', async () => {
    const lock = two.lock('doomed')
    one.submit(moduleFunction(work, 'dies'), ['doomed', 2_000], { atMostOnce: true }).catch(() => {})
    const token = await one.variable<number>('doomed-token').get()
    expect(await lock.isHeld()).toBe(true)
    await until(async () => !(await lock.isHeld()))
    await using hold = await lock.acquire()
    expect(hold.token).toBeGreaterThan(token)
  })

  test('CONFORMANCE 41: a release too many warns, and frees nothing that others hold', async () => {
    const semaphore = one.semaphore('twice', 2)
    const first = await semaphore.acquire()
    await semaphore.acquire()
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve))
    await first.release()
    await first.release()
    expect(await warned).toMatchObject({ message: 'semaphore:twice was released once too often' })
    expect(await semaphore.held()).toBe(1)
    expect(first.isHeld).toBe(false)
  })

  test('CONFORMANCE 41: who loses its entry while it waits for a semaphore gets one permit of it', async () => {
    const { key } = mesh
    const entry = mesh.take(await mesh.join())
    const peers = [...entry.addresses, ...(mesh.nodes[0]?.addresses ?? [])]
    await using client = await connect({ key, peers: peers.slice(0, 1), mdns: false })
    const taken = await one.semaphore('retried', 1).acquire()
    const waiting = client.semaphore('retried', 1).acquire()
    await client.variable('retried').set('its entry knows of it now')
    await entry.stop()
    await taken.release()
    const hold = await waiting
    expect(await one.semaphore('retried', 1).held()).toBe(1)
    await hold.release()
    expect(await one.semaphore('retried', 1).held()).toBe(0)
  })

  test('one holds a lock at a time, whoever comes through whatever node', async () => {
    let inside = 0
    let most = 0
    const tokens: number[] = []
    const clients = mesh.nodes.map(({ client }) => client)
    const turn = (client: Client): Promise<void> =>
      client.lock('turns').with(async ({ token }) => {
        most = Math.max(most, ++inside)
        tokens.push(token)
        await new Promise((resolve) => setTimeout(resolve, 2))
        inside--
      })
    await Promise.all(upTo(12).map((i) => turn(clients[i % 3] as Client)))
    expect(most).toBe(1)
    expect(tokens).toEqual([...tokens].sort((a, b) => a - b))
    expect(new Set(tokens).size).toBe(12)
  })

  test('who may not wait, or no longer, is told so, and holds nothing afterwards', async () => {
    const hold = await one.lock('taken').acquire()
    expect(await two.lock('taken').tryAcquire()).toBeUndefined()
    await expect(two.lock('taken').acquire({ timeout: 0 })).rejects.toEqual(coded('SHOAL_TIMEOUT'))
    await expect(two.lock('taken').acquire({ timeout: 50 })).rejects.toEqual(coded('SHOAL_TIMEOUT'))
    const ending = new AbortController()
    const waiting = two.lock('taken').acquire({ signal: ending.signal })
    ending.abort('no more')
    await expect(waiting).rejects.toMatchObject({ code: 'SHOAL_CANCELLED', cause: 'no more' })
    await hold.release()
    const next = await two.lock('taken').tryAcquire()
    expect(next?.token).toBeGreaterThan(hold.token)
    await next?.release()
  })

  test('what a task holds is given back when it ends', async () => {
    const token = await one.submit<number>(moduleFunction(work, 'holds'), ['of-a-task'])
    await using hold = await two.lock('of-a-task').acquire({ timeout: 5_000 })
    expect(hold.token).toBeGreaterThan(token)
  })

  test('who works under a lock when its client is closed is told that others may have it now', async () => {
    const client = await connect({ key: mesh.key, peers: mesh.nodes[0]?.addresses ?? [], mdns: false })
    const warnings: Error[] = []
    const onWarning = (warning: Error): void => void warnings.push(warning)
    process.on('warning', onWarning)
    const kept = await client.lock('kept').acquire()
    const told = Promise.withResolvers<unknown>()
    const held = Promise.withResolvers<void>()
    const done = client.lock('of-a-worker').with(async ({ signal }) => {
      signal.addEventListener('abort', () => told.resolve(signal.reason))
      held.resolve()
      await told.promise
      return 'done'
    })
    done.catch(() => {})
    await held.promise
    await client.close()
    await using next = await one.lock('of-a-worker').acquire({ timeout: 5_000 })
    expect(next.isHeld).toBe(true)
    const lost = { code: 'SHOAL_LEASE_LOST', message: say('its client was closed') }
    expect(await told.promise).toMatchObject(lost)
    await expect(done).rejects.toMatchObject(lost)
    expect(kept.isHeld).toBe(false)
    await expect(kept.release()).rejects.toMatchObject(lost)
    await new Promise((resolve) => setImmediate(resolve))
    process.off('warning', onWarning)
    expect(warnings).toEqual([])
  })

  test('a client that is closed gives back what it holds, and what it waits for ends', async () => {
    const client = await connect({ key: mesh.key, peers: mesh.nodes[0]?.addresses ?? [], mdns: false })
    await client.lock('of-a-client', { lease: 60_000 }).acquire()
    const waiting = client.queue('nobody puts').get()
    const ended = expect(waiting).rejects.toEqual(coded('SHOAL_CLOSED'))
    await client.close()
    await ended
    await using hold = await one.lock('of-a-client').acquire({ timeout: 5_000 })
    expect(hold.isHeld).toBe(true)
    await expect(client.lock('of-a-client').acquire()).rejects.toEqual(coded('SHOAL_CLOSED'))
  })

  test('a variable is what was set last, and waits for what is newer', async () => {
    const mine = one.variable<{ n: number }>('shared')
    const yours = two.variable<{ n: number }>('shared')
    expect(await yours.read()).toEqual({ isSet: false, value: undefined, version: 0 })
    await expect(yours.get({ timeout: 0 })).rejects.toEqual(coded('SHOAL_TIMEOUT'))
    const waiting = yours.get()
    await mine.set({ n: 1 })
    expect(await waiting).toEqual({ n: 1 })
    const { version } = await yours.read()
    const newer = yours.newer(version)
    expect(await mine.setIf(version, { n: 2 })).toBe(true)
    expect(await yours.setIf(version, { n: 3 })).toBe(false)
    expect((await newer).value).toEqual({ n: 2 })
    await yours.clear()
    expect((await mine.read()).isSet).toBe(false)
  })

  test('of many who change a variable at once, none overwrites another', async () => {
    const count = (client: Client): Promise<number> =>
      client.variable<number>('counter').update((n = 0) => n + 1)
    await Promise.all(upTo(20).map((i) => count(mesh.nodes[i % 3]?.client as Client)))
    expect(await one.variable('counter').get()).toBe(20)
  })

  test('an event lets go on who waits for it', async () => {
    const event = two.event('ready')
    await expect(event.wait({ timeout: 0 })).rejects.toEqual(coded('SHOAL_TIMEOUT'))
    const waiting = event.wait()
    await one.event('ready').set()
    await waiting
    await event.wait({ timeout: 0 })
    await event.clear()
    expect(await one.event('ready').isSet()).toBe(false)
  })

  test('a queue gives each item once, in order, and holds no more than it may', async () => {
    const queue = one.queue<number>('jobs', { maxSize: 3 })
    const reader = two.queue<number>('jobs')
    const put = Promise.all(upTo(10).map((i) => queue.put(i)))
    await until(async () => (await reader.size()) === 3)
    await expect(queue.put(99, { timeout: 0 })).rejects.toEqual(coded('SHOAL_TIMEOUT'))
    const got: number[] = []
    for (const _ of upTo(10)) got.push(await reader.get())
    await put
    expect(got).toEqual(upTo(10))
    await expect(two.queue('jobs', { maxSize: 4 }).put(1)).rejects.toEqual(coded('SHOAL_BAD_OPTION'))
  })

  test('no item is lost to who has stopped waiting', async () => {
    const puts = one.queue<number>('impatient')
    const gets = two.queue<number>('impatient')
    const got: number[] = []
    const take = async (timeout: number): Promise<void> => {
      const item = await gets
        .get({ timeout })
        .catch((error: unknown) => expect(error).toEqual(coded('SHOAL_TIMEOUT')))
      if (typeof item === 'number') got.push(item)
    }
    const putting = (async () => {
      for (const i of upTo(40)) await puts.put(i)
    })()
    while (got.length < 40) await Promise.all(upTo(4).map((i) => take(1 + 3 * i)))
    await putting
    expect(got.sort((a, b) => a - b)).toEqual(upTo(40))
  })

  test('a task that waits for a queue lets the one that puts have its slot', async () => {
    await using single = await Mesh.open(1, { slots: 1 }).then((other) => ({
      client: other.client,
      [Symbol.asyncDispose]: () => other.close()
    }))
    const taken = single.client.submit(moduleFunction(work, 'takes'), ['between'])
    await taken.accepted
    await single.client.submit(moduleFunction(work, 'puts'), ['between'])
    expect(await taken).toBe('from a task')
  })

  test('what does not fit is refused, and the message says what does', async () => {
    const large = new Uint8Array(64 << 10)
    const refusal = {
      code: 'SHOAL_BAD_VALUE',
      message: say('put it into the mesh with put(), and its Ref here')
    }
    await expect(one.variable('large').set(large)).rejects.toMatchObject(refusal)
    await expect(one.queue('large').put(large)).rejects.toMatchObject(refusal)
    const ref = await one.put(large)
    await one.variable('large').set(ref)
    const found = await two.variable<typeof ref>('large').get()
    expect((await two.get(found)).byteLength).toBe(large.byteLength)
  })

  test.each([
    ['an empty name', (client: Client) => client.lock('')],
    ['a long name', (client: Client) => client.variable('n'.repeat(129))],
    ['a name that no terminal shows', (client: Client) => client.event('a\nb')],
    ['no permits', (client: Client) => client.semaphore('none', 0)],
    ['too many permits', (client: Client) => client.semaphore('many', 1_025)],
    ['a lease that nobody can renew', (client: Client) => client.lock('short', { lease: 10 })],
    ['half a place', (client: Client) => client.queue('half', { maxSize: 1.5 })],
    ['a queue that holds nothing', (client: Client) => client.queue('nothing', { maxSize: 0 })]
  ])('%s is a bad option', (_, make) => {
    expect(() => make(one)).toThrow(coded('SHOAL_BAD_OPTION'))
  })

  test('another number of permits is refused', async () => {
    const hold = await one.semaphore('counted', 2).acquire()
    await expect(two.semaphore('counted', 3).acquire()).rejects.toEqual(coded('SHOAL_BAD_OPTION'))
    await hold.release()
  })
})

test('CONFORMANCE 41: a queue outlives the node that spoke for it; what is left of a mesh refuses, and does not make a second lock', async () => {
  const mesh = await Mesh.open(3, { slots: 0 })
  try {
    const [first, second, third] = mesh.nodes as [Mesh['nodes'][0], Mesh['nodes'][0], Mesh['nodes'][0]]
    const queue = first.client.queue<number>('left')
    for (const i of upTo(5)) await queue.put(i)
    await mesh.take(third).stop()
    expect(await Promise.all(upTo(5).map(() => queue.get()))).toEqual(upTo(5))
    const hold = await first.client.lock('alone', { lease: 60_000 }).acquire()
    await mesh.take(second).stop()
    await expect(first.client.lock('alone').tryAcquire()).rejects.toMatchObject({
      code: 'SHOAL_NO_QUORUM',
      message: say('of the 3 nodes that keep it, not more than half answer')
    })
    expect(hold.token).toBe(1)
  } finally {
    await mesh.close()
  }
})

test('a lone node that was told of others makes no locks of its own', async () => {
  const mesh = await Mesh.open(1, { slots: 0, peers: ['/ip4/127.0.0.1/tcp/9'] })
  try {
    await expect(mesh.client.lock('l').acquire()).rejects.toMatchObject({
      code: 'SHOAL_NO_QUORUM',
      message: say('nothing was done: this node has met no other yet')
    })
  } finally {
    await mesh.close()
  }
})
