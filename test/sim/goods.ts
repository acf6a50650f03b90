/**
 * Data in the simulated world: what lies on which disk, how it is brought from node to node, and what must be true of it.
 *
 * Not here: who is to hold what (src/data). A piece of data is its name only, as in the core; a fetch takes a while and fails
 * where a real one would: the other node is gone, cannot be reached, or has it no more.
 */
import { cacheMs } from '../../src/data/depot.ts'
import type { DataEffect } from '../../src/data/effects.ts'
import { closeEnvelope } from '../../src/data/envelope.ts'
import { renewEveryMs } from '../../src/data/item.ts'
import { type DataId, dataId, dataName, type JobId, type PeerId, shardName } from '../../src/ids.ts'
import type { Random } from '../../src/random.ts'
import { majorityOf } from '../../src/routing/placement.ts'
import type { Batch } from '../../src/tasks/batch.ts'
import { inputsIn } from '../../src/tasks/references.ts'
import { Violation } from './checkers.ts'
import type { SimClient } from './client.ts'
import type { SimNode } from './node.ts'
import type { World } from './world.ts'

/** What was put for a job stays for so long by itself, as in a client: longer than any world lasts. */
const pinMs = 3_600_000
const answerMs = 5_000
/** Of one piece; the largest are worth a wait for a node that has them. */
const bytesMax = 200_000_000

interface Put {
  readonly node: SimNode
  readonly life: number
  readonly id: DataId
  readonly kept: (copies: number) => void
}

interface Good {
  readonly job: JobId
  readonly copies: number
  readonly least: number
}

export class Goods {
  readonly #world: World
  readonly #random: Random
  readonly #puts = new Map<number, Put>()
  /** Of whose keeping somebody was told. */
  readonly #kept = new Map<DataId, Good>()
  /** Which disks ever had it and were not told to drop it, those included that are lost. */
  readonly #disks = new Map<DataId, Set<PeerId>>()
  /** Jobs that wait for their data to be kept. */
  readonly #open = new Set<{ readonly client: SimClient }>()
  /** How many of its copies were. */
  readonly #damaged = new Map<DataId, number>()
  /** What was brought to a node because a task there needs it. */
  readonly #cached = new Map<SimNode, Set<DataId>>()
  /** What was put once more: for another job, as far as a node may know that has heard of the first. */
  readonly #putAgain = new Set<DataId>()
  /** What tasks began with. A job that ended before its records named any waits for them in vain. */
  readonly #used = new Set<DataId>()
  #asks = 0
  #made = 0
  /** Bytes of that, and of all that was put. */
  movedBytes = 0
  putBytes = 0

  constructor(world: World, random: Random) {
    this.#world = world
    this.#random = random
  }

  perform(node: SimNode, effect: Exclude<DataEffect, { kind: 'send' }>): void {
    if (effect.kind === 'fetch-data') this.#fetch(node, effect.id, effect.at)
    else if (effect.kind === 'drop-data') this.#drop(node, effect.id)
    // Of what is put for jobs nothing is refused.
    else if (effect.kind === 'data-kept') this.#wasKept(effect.ask, effect.copies)
  }

  /** Of some piece one copy, as long as more than so many others are left. */
  damage(pick: number, spared: number): void {
    const found = [...this.#kept.keys()].flatMap((id) => {
      const holders = this.#world.nodes.filter((node) => node.data.has(id))
      return holders.length > spared + 1 ? holders.map((node) => ({ node, id })) : []
    })
    const one = found[Math.floor(pick * found.length)]
    if (one === undefined || !one.node.isRunning) return
    this.#world.note(one.node.id, `finds ${one.id} damaged`)
    this.#damaged.set(one.id, (this.#damaged.get(one.id) ?? 0) + 1)
    this.#drop(one.node, one.id)
    one.node.step({ kind: 'data-lost', id: one.id })
  }

  /** False if these have none of some data whose copies may all be lost, since as many are as somebody was told of. */
  areEnough(left: readonly SimNode[], disksLost: number): boolean {
    const gone = this.#world.nodes.filter((node) => !left.includes(node))
    return [...this.#kept].every(([id, { least }]) => {
      const lost = gone.filter((node) => node.data.has(id)).length + (this.#damaged.get(id) ?? 0) + disksLost
      return lost < majorityOf(least) || left.some((node) => node.data.has(id)) || !this.#isSomewhere(id)
    })
  }

  /** Names so many new pieces of data, has them kept, and then goes on; a client that dies meanwhile does not. */
  putAll(
    client: SimClient,
    job: JobId,
    count: number,
    copies: { wanted: number; least: number },
    then: (ids: readonly DataId[]) => void
  ): void {
    const ids = Array.from({ length: count }, () =>
      dataId(`data${++this.#made}`.padEnd(43, '_'), 1 + this.#random.below(bytesMax))
    )
    for (const id of ids) this.putBytes += dataName(id).size
    const open = { client }
    if (count > 0) this.#open.add(open)
    let left = count
    for (const id of ids) {
      this.#put(client, job, id, copies, () => {
        if (--left > 0) return
        this.#open.delete(open)
        then(ids)
      })
    }
    if (count === 0) then(ids)
  }

  /** Somebody is yet to submit a job. */
  get isBusy(): boolean {
    return [...this.#open].some(({ client }) => client.session !== undefined)
  }

  /** Data of accepted jobs that is not where it should be, after everything was healed; empty if all is well. */
  misplaced(): string[] {
    const sound = this.#sound()
    const named = this.#named(sound)
    const found: string[] = []
    for (const [id, { job, copies }] of this.#kept) {
      if (!this.#isNeeded(job) || !named.has(id)) continue
      const holders = sound.filter((node) => node.data.has(id))
      const wanted = Math.min(copies, sound.length)
      if (holders.length < wanted) found.push(`${id} of ${job} is on ${holders.length} of ${wanted} nodes`)
    }
    return found
  }

  check(): void {
    for (const id of this.#named(this.#sound())) this.#mustBe(id)
  }

  /** What of these inputs' data a node lacks. */
  lacking(node: SimNode, inputs: Batch): DataId[] {
    return this.#kept.size === 0 ? [] : [...inputsIn(inputs)].filter((id) => !node.data.has(id))
  }

  /** Brings what tasks need that are to begin, as far as it can be had. */
  bring(node: SimNode, ids: readonly DataId[], then: () => void): void {
    const { life } = node
    this.#world.clock.after(1 + this.#random.next() * 100, () => {
      if (node.life !== life) return
      for (const id of ids) {
        const sources = (node.core?.stock.sources(id) ?? []).map((peer) => this.#world.node(peer))
        const isThere = sources.some((from) => from !== undefined && this.#gives(from, node, id))
        if (node.data.has(id) || !isThere) continue
        this.movedBytes += dataName(id).size
        this.#cache(node, id)
      }
      then()
    })
  }

  /** Somebody begins a task with these inputs: if any node still needs its outcome, its data can be had. */
  begun(inputs: Batch): void {
    if (this.#kept.size === 0) return
    const ids = inputsIn(inputs)
    for (const id of ids) this.#used.add(id)
    if (ids.size === 0 || [...ids].every((id) => this.#isSomewhere(id))) return
    const named = this.#named(this.#world.nodes)
    for (const id of ids) if (named.has(id)) this.#mustBe(id)
  }

  /**
   * What nobody needs any more is gone, in worlds where everybody heard everything: who was restarted or cut off may ask others
   * to hold what is over for as long as it would wait for records, which is longer than a world lasts.
   */
  areGone(): void {
    const { broken, network, nodes } = this.#world
    const isWhole = broken.size === 0 && nodes.every(({ names, life }) => names === 1 && life === 1)
    // A put that comes late, or twice, is taken for one of another job.
    if (!isWhole || network.wasCut || !this.#world.plan.weather.isOrdered) return
    // What a node was to hold and got too late lies there for use.
    this.#world.until(() => this.#left() === undefined, cacheMs + renewEveryMs)
    const left = this.#left()
    if (left !== undefined)
      throw new Violation(
        'no-zombie',
        `${left.node.id} still holds ${left.id}, whose job ${left.job} was released`
      )
  }

  #left(): { node: SimNode; id: DataId; job: JobId } | undefined {
    // Whether records go is judged elsewhere (verdicts.ts), and a task may have passed it on to a job of its own.
    const named = this.#named(this.#world.nodes)
    const jobs = new Set(
      this.#world.nodes.flatMap(({ core }) => core?.keeper.keys() ?? []).map((key) => shardName(key).job)
    )
    for (const [id, { job }] of this.#kept) {
      if (
        !this.#world.isReleased(job) ||
        jobs.has(job) ||
        named.has(id) ||
        this.#putAgain.has(id) ||
        !this.#used.has(id)
      )
        continue
      const node = this.#sound().find((one) => one.data.has(id) && !this.#cached.get(one)?.has(id))
      if (node !== undefined) return { node, id, job }
    }
    return undefined
  }

  #put(
    client: SimClient,
    job: JobId,
    id: DataId,
    copies: { wanted: number; least: number },
    kept: () => void
  ): void {
    const { clock } = this.#world
    const again = (): void => {
      this.#putAgain.add(id)
      clock.after(300, () => this.#put(client, job, id, copies, kept))
    }
    if (client.session === undefined) return
    const node = client.entry
    if (node === undefined || !node.isAnswering || node.hasBadDisk) return again()
    const ask = ++this.#asks
    const give = (): void => {
      const put = this.#puts.get(ask)
      if (put === undefined) return
      this.#puts.delete(ask)
      if (put.node.life === put.life) node.step({ kind: 'data-unasked', ask })
      again()
    }
    this.#puts.set(ask, {
      node,
      life: node.life,
      id,
      kept: (count) => {
        this.#puts.delete(ask)
        // As a job's shards: with fewer copies than it wants at least, it is not content.
        if (count < majorityOf(copies.least)) return again()
        this.#kept.set(id, { job, copies: copies.wanted, least: copies.least })
        if (client.session !== undefined) kept()
      }
    })
    this.#cache(node, id)
    const pin = { pinMs: 0, bridgeMs: pinMs }
    node.step({ kind: 'data-put', id, ask, pin, copies: copies.wanted })
    clock.after(answerMs, give)
  }

  /** It lies there for use, whether it is to be kept there or not. */
  #cache(node: SimNode, id: DataId): void {
    this.#cached.set(node, (this.#cached.get(node) ?? new Set()).add(id))
    this.#add(node, id)
  }

  #add(node: SimNode, id: DataId): void {
    const disks = this.#disks.get(id) ?? new Set()
    this.#disks.set(id, disks.add(node.id))
    node.data.add(id)
    node.step({ kind: 'data-here', ids: [id], isRestored: false })
  }

  #drop(node: SimNode, id: DataId): void {
    this.#disks.get(id)?.delete(node.id)
    node.data.delete(id)
  }

  #wasKept(ask: number, copies: number): void {
    const put = this.#puts.get(ask)
    if (put === undefined) return
    const found = this.#disks.get(put.id)?.size ?? 0
    if (found < copies)
      throw new Violation(
        'durable-before-ack',
        `${put.id} is said to have ${copies} copies, and has ${found}`
      )
    put.kept(copies)
  }

  #fetch(node: SimNode, id: DataId, at: readonly PeerId[]): void {
    const { clock, weather } = this.#world
    const { life } = node
    const sources = node.core?.stock.sources(id, at) ?? []
    const from = sources
      .map((peer) => this.#world.node(peer))
      .find((one) => one !== undefined && this.#gives(one, node, id))
    const lasts = 1 + this.#random.next() * (weather.slowDisk > 0 ? 1_000 : 100)
    clock.after(lasts, () => {
      if (node.life !== life) return
      const isBrought = node.data.has(id) || (from !== undefined && this.#gives(from, node, id))
      if (isBrought && !node.hasBadDisk) {
        this.#add(node, id)
      } else node.step({ kind: 'data-failed', id })
    })
  }

  #gives(from: SimNode, to: SimNode, id: DataId): boolean {
    return from.isAnswering && from.data.has(id) && !this.#world.network.isCut(from.id, to.id)
  }

  #mustBe(id: DataId): void {
    const good = this.#kept.get(id)
    if (good === undefined || !this.#isNeeded(good.job) || this.#isSomewhere(id)) return
    // As many copies were damaged as somebody was told of.
    if ((this.#damaged.get(id) ?? 0) >= majorityOf(good.least)) return
    throw new Violation('no-lost', `${id}, which ${good.job} names, is on no disk any more`)
  }

  #isSomewhere(id: DataId): boolean {
    return this.#world.nodes.some((node) => node.data.has(id))
  }

  /** What records of these nodes name whose tasks are not all known to have ended. */
  #named(nodes: readonly SimNode[]): ReadonlySet<DataId> {
    const named = new Set<DataId>()
    if (this.#kept.size === 0) return named
    for (const { core } of nodes) {
      for (const key of core?.keeper.keys() ?? []) {
        if (core?.keeper.isSettled(key)) continue
        const record = core?.keeper.record(key)
        for (const id of record === undefined ? [] : inputsIn(record.inputs)) named.add(id)
      }
    }
    return named
  }

  #isNeeded(job: JobId): boolean {
    return this.#world.needsData(job)
  }

  #sound(): SimNode[] {
    return this.#world.nodes.filter((node) => !this.#world.broken.has(node) && node.isRunning)
  }
}

/** An input that names data. */
export function naming(ids: readonly DataId[], input: Uint8Array): Uint8Array {
  return ids.length === 0 ? input : closeEnvelope({ kind: 'naming', ids, inner: input })
}
