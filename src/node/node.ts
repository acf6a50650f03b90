/**
 * A node as its owner holds it: opened, put together, and stopped again.
 *
 * Not here: what it does in between (driver.ts and core.ts).
 * What is opened first is closed last, also if opening fails half way.
 */
import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createLocalClient } from '../client/local.ts'
import type { Client } from '../client/types.ts'
import type { Ref } from '../data/ref.ts'
import { ShoalError } from '../errors.ts'
import { hostNode } from '../hosted/node.ts'
import type { Digest, PeerId } from '../ids.ts'
import { seededRandom } from '../random.ts'
import type { Attendance } from '../tasks/effects.ts'
import { programsLabel } from '../tasks/executor/program.ts'
import { checkRuntime, VERSION } from '../version.ts'
import { lightBeacon } from './beacon.ts'
import { openBlobs } from './blobs.ts'
import { DataFiles, diskError } from './datafiles.ts'
import { Driver } from './driver.ts'
import { openExecutor } from './engines.ts'
import { Footing } from './footing.ts'
import { type Burden, leftover } from './leftovers.ts'
import { createLibp2pTransport } from './libp2p.ts'
import type { Source, SourceOptions } from './offers.ts'
import {
  type CheckedOptions,
  checkDrain,
  checkOptions,
  type DrainOptions,
  type NodeOptions
} from './options.ts'
import { resultPinMs } from './provisions.ts'
import { loadIdentity, openStore, type Store } from './store.ts'
import { openTemporary, sweepTemporary } from './temporary.ts'
import { keepVigil } from './vigil.ts'

/** Between two looks at what is left. */
const handOverLookMs = 25
/** How long outcomes that nobody confirms hold up a node that is alone, once nothing runs there. */
const loneOutcomesMs = 1_000
/** What who reads a stream of a node that leaves has, after its end, before it is given back. */
const readersMs = 1_000
/** Whoever is in the local network is heard of within this time; a node that nobody answers may be alone. */
const meetsWithinMs = 5_000

export interface Node extends AsyncDisposable {
  readonly id: PeerId
  /** Multiaddrs that others can dial. */
  readonly addresses: readonly string[]
  /**
   * What was refused, dropped or malformed so far, and the bytes and frames that went through, by name; `hosted`, as of a second
   * ago at most.
   */
  readonly counters: Readonly<Record<string, number>>
  /** The same interface as `connect()` gives, with this node as entry. */
  readonly client: Client
  /**
   * Offers a live stream to the mesh: tasks with `requires: { source: name }` run on this node and read it by `task.source(name)`,
   * clients anywhere by `mesh.source(name)`. Items are values of at most 1 MiB. Throws SHOAL_BAD_OPTION, also if this node
   * offers that name already, and SHOAL_CLOSED once it stops.
   */
  source(name: string, items: AsyncIterable<unknown>, options?: SourceOptions): Source
  /**
   * Hands over, then stops: what waits here goes to other nodes, what runs may finish during the first half of `timeout`
   * (milliseconds, default `drainTimeout`) and is given back after that, and other nodes take its place as keeper and owner. Its
   * sources end before anything is given back, and who reads them has a second for that. It stays until what is open has its
   * outcomes where too few other keepers stay to go on without it.
   * No task fails because of it, and no attempt is counted. Resolves when it has stopped, with what nobody could take over
   * in time; with a data folder, that is still there when the node comes back. If no other node is there, it waits for what
   * runs alone. Rejects with SHOAL_BAD_OPTION.
   */
  drain(options?: DrainOptions): Promise<Burden>
  /** Resolves when it has stopped, for whatever reason: by these calls, or because somebody drained it from elsewhere. */
  readonly stopped: Promise<void>
  /**
   * Ends engines and connections at once; what its client waits for rejects with SHOAL_CLOSED. Others take over what it owned;
   * with its data folder it can be started again.
   */
  stop(): Promise<void>
}

/**
 * Starts a node. Resolves when it listens; it then finds others by itself.
 * Rejects with SHOAL_BAD_OPTION, SHOAL_DATA_IN_USE, SHOAL_DISK or SHOAL_PORT_TAKEN; `hosted`, also with SHOAL_HOST_LOST.
 */
export async function createNode(options: NodeOptions): Promise<Node> {
  checkRuntime()
  const { hosted, drainTimeout } = checkOptions(options)
  if (hosted) return await hostNode(options, drainTimeout)
  return (await openNode(options)).node
}

/**
 * A node, and the inside of it, for clients of the same thread.
 * @internal Users' types do not know what is inside.
 */
export interface OpenNode {
  readonly node: Node
  readonly driver: Driver
}

/**
 * In this thread.
 * @internal
 */
export async function openNode(options: NodeOptions): Promise<OpenNode> {
  const checked = checkOptions(options)
  const opened: (() => unknown)[] = []
  const close = async (): Promise<void> => {
    for (const one of opened.splice(0).reverse()) await one()
  }
  try {
    return await open(checked, opened, close)
  } catch (error) {
    await close()
    throw error
  }
}

async function handOver(driver: Driver, timeout: number): Promise<Burden> {
  const { core } = driver
  const from = performance.now()
  driver.leave('finish')
  let isPatient = true
  let ranAt = from
  let giveBackAt = from + timeout / 2
  for (;;) {
    if (performance.now() >= giveBackAt && (await endSources(driver)))
      giveBackAt += Math.min(readersMs, timeout / 4)
    const now = performance.now()
    const tasks = core.runner.held
    if (core.runner.running > 0) ranAt = now
    const isLate = now >= giveBackAt
    // Where nobody takes over, there is nothing to wait for but the end of what runs.
    const isVain = core.leftovers.isAlone && (tasks === 0 || isLate || now - ranAt >= loneOutcomesMs)
    if (isVain || core.leftovers.areOver(now) || now - from >= timeout) return core.leftovers.burden(now)
    if (isPatient && isLate) {
      driver.leave('give back')
      isPatient = false
    }
    await sleep(handOverLookMs)
  }
}

/**
 * A task that reads a stream until its end would be given back at what may be the only node that has it; so it is given the
 * end. False if there are no streams.
 */
async function endSources({ core, offers }: Driver): Promise<boolean> {
  const isAny = core.membership.me.sources.length > 0
  await offers.close()
  // Those of an app beside this thread.
  for (const name of core.membership.me.sources)
    offers.tell({ kind: 'source-over', name, code: '', message: 'its node stops' })
  return isAny
}

async function open(
  options: CheckedOptions,
  opened: (() => unknown)[],
  close: () => Promise<void>
): Promise<OpenNode> {
  const { key, data, roles, labels, resources, zone, listen, peers, mdns, replaceAfter, quota, onNote } =
    options
  const { store, disk } = await openSound(data, onNote)
  opened.push(() => store.close())
  void sweepTemporary()
  const isTemporary = data === undefined
  const folder = isTemporary ? await ownFolder(opened) : data
  const blobs = await openBlobs(folder, onNote)
  opened.push(() => blobs.close())
  const files = await DataFiles.open(folder, { isTemporary, quota: quota.data })
  opened.push(() => files.close())
  if (isTemporary) onNote(`has no data folder: keeps records in memory, and data in ${files.folder}`)
  const { privateKey, peerId: peer, storeId, boot } = await loadIdentity(store)
  const slots = roles.includes('engine') ? options.slots : 0
  const { heapMb, programMb, isolation, nice, allowRun } = options
  const code = (digest: Digest): string => blobs.path(digest)
  const dataFolder = files.folder
  const keepFile = (path: string): Promise<Ref> =>
    driver.data.putFile(path, { pinMs: resultPinMs, isForJob: true, copies: 0 })
  const limits = { heapMb, programMb, nice }
  const engines = { slots, node: peer, ...limits, isolation, code, folder, dataFolder, keepFile, allowRun }
  const executor = await openExecutor(engines, {
    onEvent: (event) => driver.onExecutor(event),
    onSaid: (engine, parts) => driver.guests.heard(engine, parts)
  })
  opened.push(() => executor?.close())
  const me = {
    peer,
    addresses: [],
    boot,
    storeId,
    slots,
    isKeeper: disk === undefined && roles.includes('keeper'),
    isLeaving: false,
    isFull: false,
    zone,
    resources: Object.entries(resources).map(([name, amount]) => ({ name, amount })),
    sources: [],
    labels: Object.entries(options.allowRun ? { ...labels, [programsLabel]: 'yes' } : labels),
    version: VERSION,
    incarnation: 0
  }
  const random = seededRandom(randomInt(2 ** 32))
  const driver: Driver = new Driver({
    me,
    random,
    store,
    blobs,
    files,
    executor,
    replaceAfterMs: replaceAfter,
    disk,
    quota,
    // Who was told of others is not alone before it has met one of them.
    meetsWithinMs: peers.length > 0 ? Number.POSITIVE_INFINITY : mdns ? meetsWithinMs : 0,
    onNote,
    onLeave: () => void drain(undefined, (left) => onNote(leftover(left, data)))
  })
  opened.push(() => driver.stop())
  const held = isTemporary ? ['blobs', 'data'] : ['store', 'blobs', 'data']
  const footing = await Footing.on(held.map((name) => join(folder, name)))
  opened.push(footing.watch((reason) => driver.diskFailed(reason)))
  await driver.restore()
  const transport = await createLibp2pTransport({
    key,
    identity: privateKey,
    listen,
    bootstrap: peers,
    mdns,
    onEvent: driver.onTransport,
    blobs,
    serveData: (talk, node) => driver.data.serve(talk, node)
  })
  opened.push(() => transport.stop())
  const { when, hours, idle, probe, drainTimeout } = options
  const onChange = (attendance: Attendance): void => driver.attend(attendance)
  opened.push(await keepVigil({ when, hours, idle, probe, onChange, onNote }))
  driver.connect(transport)
  opened.push(() => driver.offers.close())
  opened.push(await lightBeacon(key, peer, transport.addresses()))
  const client = createLocalClient(driver, peer)
  opened.push(() => client.close())
  const stopped = Promise.withResolvers<void>()
  let stopping: Promise<void> | undefined
  const stop = (): Promise<void> => {
    stopping ??= close().finally(stopped.resolve)
    return stopping
  }
  const drain = async (options?: DrainOptions, tell?: (left: Burden) => void): Promise<Burden> => {
    const burden = await handOver(driver, checkDrain(drainTimeout, options))
    if (burden.tasks + burden.shards + burden.stalled > 0) tell?.(burden)
    await stop()
    return burden
  }
  const node: Node = {
    id: peer,
    get addresses() {
      return transport.addresses()
    },
    get counters() {
      return transport.counters()
    },
    client,
    source: (name, items, options) => driver.offers.offer(name, items, options),
    drain: (options) => drain(options),
    stop,
    stopped: stopped.promise,
    [Symbol.asyncDispose]: stop
  }
  return { node, driver }
}

async function ownFolder(opened: (() => unknown)[]): Promise<string> {
  const { folder, close } = await openTemporary().catch((error: unknown) => {
    throw diskError('there is no place for a temporary folder', error)
  })
  opened.push(close)
  return folder
}

/**
 * A damaged store is neither used nor touched: a keeper that forgot some of what it promised must not vote. The node works
 * without it, as another node that keeps nothing, and says why.
 */
async function openSound(
  data: string | undefined,
  onNote: (text: string) => void
): Promise<{ store: Store; disk: string | undefined }> {
  try {
    return { store: await openStore(data), disk: undefined }
  } catch (error) {
    if (!(error instanceof ShoalError) || error.code !== 'SHOAL_DAMAGED') throw error
    onNote(`keeps nothing: ${error.message}`)
    return { store: await openStore(undefined), disk: error.message }
  }
}
