/**
 * What is there for the next one who submits a key, once the client that submitted it has gone.
 *
 * Not here: keys whose clients are there (keys.test.ts).
 * What a client says no more is held back on its line, as if it had ended right before; so no moment is missed.
 */
import { afterEach, expect, test } from 'vitest'
import { MeshClient } from '../../src/client/client.ts'
import type { ClientMessage } from '../../src/client/protocol.ts'
import { RemoteLine } from '../../src/client/remote.ts'
import { type Client, connect, type JobHandle, type TaskHandle } from '../../src/index.ts'
import { Mesh } from './mesh.ts'

let mesh: Mesh
const clients: Client[] = []
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()))
  await mesh.close()
})

const peers = (): readonly string[] => mesh.nodes[0]?.addresses ?? []

async function attach(): Promise<Client> {
  const client = await connect({ key: mesh.key, peers: peers(), mdns: false })
  clients.push(client)
  return client
}

/** All that it says is lost from the first word of kind `last` on, once it has said `after`; `mute` resolves then. */
async function attachMute(
  last: ClientMessage['kind'],
  after = last
): Promise<{ client: Client; mute: Promise<void> }> {
  const mute = Promise.withResolvers<void>()
  const search = { peers: peers(), isWide: false, mdns: false }
  const client = new MeshClient((events) => {
    const line = new RemoteLine(mesh.key, search, events)
    const send = line.send.bind(line)
    let [isNear, isMute] = [false, false]
    line.send = (message) => {
      isNear ||= message.kind === after
      isMute ||= isNear && message.kind === last
      if (isMute) mute.resolve()
      else send(message)
    }
    return line
  }, 'mute')
  clients.push(client)
  await client.open(AbortSignal.timeout(10_000))
  return { client, mute: mute.promise }
}

/** Says in a file that it ran. */
const traced = ({ folder, x }: { folder: string; x: number }): number => {
  process.getBuiltinModule('node:fs').appendFileSync(`${folder}/ran`, `${x}\n`)
  return x * x
}
const input = (x: number): { folder: string; x: number } => ({ folder: mesh.folder, x })
const ended = (handle: PromiseLike<unknown>): Promise<unknown> =>
  Promise.resolve(handle).catch((error: unknown) => error)

type Way = (client: Client, key: string, x: number) => JobHandle<number> | TaskHandle<number>
const map: Way = (client, key, x) => client.map(traced, [input(x), input(x)], { key }) as JobHandle<number>
const submit: Way = (client, key, x) => client.submit(traced, [input(x)], { key }) as TaskHandle<number>
const once: Way = (client, key, x) =>
  client.submit(traced, [input(x)], { key, atMostOnce: true }) as TaskHandle<number>
const firstOf = async (handle: PromiseLike<unknown>): Promise<unknown> => [await handle].flat()[0]
const accepted = (handle: { readonly accepted: Promise<unknown> }): Promise<unknown> => handle.accepted

test('once it is accepted its client may go at once: who submits the key again gets its results', async () => {
  mesh = await Mesh.open(1, { slots: 2 })
  const next = await attach()
  const moments: ((client: Client, job: ReturnType<Way>) => Promise<unknown>)[] = [
    (_, job) => accepted(job),
    (client, { id }) => accepted(client.task(`${id}:0`)),
    // And when its results are there, though nobody has asked for that.
    (_, job) => ended(job)
  ]
  for (const [at, way] of [map, submit, once].entries())
    for (const [when, moment] of moments.entries()) {
      const [client, key] = [await attach(), `left ${at} ${when}`]
      await moment(client, way(client, key, at))
      await client.close()
      expect(await firstOf(way(next, key, 99))).toBe(at * at)
    }
  const ran = (await mesh.trace('ran')).map(Number).sort()
  expect(ran).toEqual([0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
})

test('what the mesh has as a whole is found by its key also if its client was lost before it could say so, and was not accepted', async () => {
  mesh = await Mesh.open(1, { slots: 2 })
  const next = await attach()
  for (const [at, way] of [map, submit, once].entries()) {
    const { client } = await attachMute('command', 'submit')
    const key = `lost ${at}`
    const job = way(client, key, at)
    const handles = [job, client.task(`${job.id}:0`)].map((handle) => ended(accepted(handle)))
    expect(await firstOf(job)).toBe(at * at)
    await client.close()
    for (const handle of handles) expect(await handle).toMatchObject({ code: 'SHOAL_CLOSED' })
    expect(await firstOf(way(next, key, 99))).toBe(at * at)
  }
  expect((await mesh.trace('ran')).map(Number).sort()).toEqual([0, 0, 1, 2])
})

test('what never became a whole is made anew, and not at all if it may run once: neither is taken for what an earlier client gave up', async () => {
  mesh = await Mesh.open(1)
  const [client, next] = [await attach(), await attach()]
  const forever = client.submit(() => new Promise<number>(() => {}), [], { key: 'anew' })
  const end = ended(forever)
  await forever.accepted
  await forever.cancel()
  expect(await end).toMatchObject({ code: 'SHOAL_CANCELLED' })
  // Of one nothing is there but that it was to be submitted; the other one is there, and was not let start.
  const [early, late] = [await attachMute('submit'), await attachMute('start')]
  const lost = [ended(submit(early.client, 'anew', 2)), ended(once(late.client, 'once', 3))]
  await Promise.all([early.mute, late.mute])
  const again = [submit(next, 'anew', 4), once(next, 'once', 5)]
  expect(await Promise.all(again.map(ended))).toMatchObject([16, { code: 'SHOAL_UNDECIDED' }])
  expect(await mesh.trace('ran')).toEqual(['4'])
  await Promise.all(clients.splice(0).map((one) => one.close()))
  await Promise.all(lost)
}, 60_000)
