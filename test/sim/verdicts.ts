/**
 * What is demanded once the faults have ended: that everything completes, can be read by anybody, agrees, and is over.
 *
 * Not here: what is judged while things happen (checkers.ts). A job whose client died before it was closed has no end, and
 * its first shard stays open; everything else must come to rest.
 */
import { type ClientId, type JobId, type PeerId, type ShardKey, shardName } from '../../src/ids.ts'
import type { NodeCore } from '../../src/node/core.ts'
import type { Random } from '../../src/random.ts'
import { isClosed, isUncounted } from '../../src/tasks/closing.ts'
import type { Keeper } from '../../src/tasks/keeper.ts'
import { type Checkers, Violation } from './checkers.ts'
import type { SimJob } from './jobs.ts'
import type { SimNode } from './node.ts'
import type { World } from './world.ts'

/** How long nothing may begin once everything is over. */
const restMs = 6_000
/** Frames from one node to another at rest, in a second. */
const framesAtRest = 4
const looksAtRest = 20
/** How long after everything else who is there may be misjudged: one whom nobody watches is asked within 30 s, and then missed. */
const knownMs = 45_000
/** Nodes compare what they keep that often, each with all others in turn. */
const compareEveryMs = 30_000

export class Verdicts {
  readonly #world: World
  readonly #random: Random
  readonly #checkers: Checkers

  constructor(world: World, random: Random) {
    this.#world = world
    this.#random = random
    this.#checkers = world.checkers
  }

  /** A task that hangs until its client cancels it would keep an engine from the others for ever, if that client is gone. */
  cancelForTheDead(): void {
    for (const { session, jobs } of [...this.#world.clients])
      for (const { id, plan, shards, mayBeGone, isCancelled } of session === undefined ? jobs : []) {
        const cancels = isCancelled ? 'all' : (plan.cancels?.map(({ task }) => task) ?? [])
        if (cancels.length === 0 || shards[0]?.isAccepted !== true || mayBeGone) continue
        this.#world.addClient(`heir-${id}`).read(id, cancels)
      }
  }

  areComplete(): boolean {
    if (this.#world.goods.isBusy || this.#world.cells?.isDone === false) return false
    return this.#world.clients.every(
      ({ session, jobs, open }) =>
        session === undefined || (open.size === 0 && jobs.every(({ isComplete }) => isComplete))
    )
  }

  complete(): void {
    const { cells } = this.#world
    if (cells?.isDone === false) throw new Violation('live', `not everybody was answered: ${cells.lacking}`)
    cells?.history.check()
    for (const { session, jobs, id, open: readers } of this.#world.clients) {
      const [reader] = session === undefined ? [] : readers
      if (reader !== undefined) throw new Violation('live', `${id} did not read ${reader} to its end`)
      const open = session === undefined ? undefined : jobs.find(({ isComplete }) => !isComplete)
      if (open === undefined) continue
      const missing = open.shards.flatMap(({ first, count, isAccepted }) => {
        const without = range(first, count).filter(
          (i) => this.#checkers.received(id, open.id, i) === undefined
        )
        return without.length === 0 && isAccepted
          ? []
          : [`${without.length} of ${count} from ${first}${isAccepted ? '' : ' (not accepted)'}`]
      })
      throw new Violation(
        'live',
        `${id}'s ${open.id} did not complete after the faults ended; it lacks ${missing.join(', ') || 'its end'}: ${this.#unsettled()}`
      )
    }
  }

  /** A stranger reads every job by its id, from any node. */
  readAll(): void {
    for (const { jobs } of [...this.#world.clients]) {
      for (const job of jobs) {
        if (job.shards[0]?.isAccepted !== true || job.mayBeGone) {
          // Who began to read it earlier may wait for ever.
          for (const client of this.#world.clients) if (client.reading === job.id) client.die()
          continue
        }
        const cancels = job.plan.cancels?.map(({ task }) => task)
        this.#world.addClient(`reader-${job.id}`).read(job.id, cancels)
      }
    }
  }

  isQuiet(): boolean {
    for (const { id, completed, session } of this.#world.clients) {
      const job = session === undefined ? undefined : this.#jobOf(id)
      if (job !== undefined && !this.#isRead(id, job, completed.has(job.id))) return false
    }
    if (this.#world.goods.misplaced().length > 0) return false
    if (this.#world.nests.at(this.#sound()).length > 0) return false
    if (this.#keptTwice() !== undefined || this.#underWay() !== undefined) return false
    return this.#sound().every((node) => {
      const { core } = node
      if (core === undefined) return false
      const { owner, runner, entry, keeper } = core
      // What two keepers took for two shards is not let go, so a task of the one that does not count may hang for ever.
      if (node.busyWith.some((key) => !this.#checkers.durable.hasPair(shardName(key).job))) return false
      if (node.busyWith.length === 0 && runner.queued + runner.running > 0) return false
      if (entry.submissions > 0) return false
      const open = keeper.keys().filter((key) => !keeper.isSettled(key))
      return open.length === 0 ? owner.unfinished === 0 : open.every((key) => this.#mayStayOpen(keeper, key))
    })
  }

  quiet(): void {
    for (const { id, completed, session } of this.#world.clients) {
      const job = session === undefined ? undefined : this.#jobOf(id)
      if (job === undefined || this.#isRead(id, job, completed.has(job.id))) continue
      throw new Violation('no-lost', `${id} cannot read what was accepted: ${this.#unsettled()}`)
    }
    this.#world.goods.check()
    const [misplaced] = this.#world.goods.misplaced()
    if (misplaced !== undefined) throw new Violation('converged', misplaced)
    if (!this.isQuiet()) throw new Violation('bounded', `something is left over: ${this.#unsettled()}`)
    this.#agree()
    this.#know()
    for (const { jobs, id } of [...this.#world.clients]) {
      for (const job of jobs) {
        const count = job.shards.reduce((sum, shard) => sum + shard.count, 0)
        for (const reader of [`reader-${job.id}`, `early-${job.id}`])
          for (let i = 0; i < count; i++) this.#checkers.same(job.id, i, id, reader)
      }
    }
  }

  /** Who is there, and who is not, is known to everybody who is there. */
  #know(): void {
    const misjudged = (): string[] =>
      this.#sound().flatMap(({ id, core }) =>
        this.#world.nodes
          .filter((node) => core?.membership.isUp(node.id) === this.#world.broken.has(node))
          .map(({ id: other }) => `${id} of ${other}`)
      )
    this.#world.until(() => misjudged().length === 0, knownMs)
    const wrong = misjudged()
    if (wrong.length > 0) throw new Violation('known', `who is there is not known: ${wrong.join(', ')}`)
  }

  /** Nothing begins again: not by itself, and not when everybody comes back from its disk. */
  stayQuiet(): void {
    const { network, clock, plan } = this.#world
    // A task of what two keepers took for two shards may go on, and submit more.
    const over = this.#checkers.acceptedKeys
    // What was sent while things went wrong may be on its way until then.
    this.#world.until(() => false, plan.weather.delayMs)
    const sound = this.#sound()
    for (const { id } of sound) this.#checkers.over.set(id, over)
    const links = sound.length * Math.max(1, this.#world.nodes.length - 1)
    let perLink = 0
    for (let look = 0; look < looksAtRest; look++) {
      const before = network.frames
      this.#world.until(() => false, restMs)
      perLink = ((network.frames - before) / (restMs * links)) * 1_000
      // Repair goes on for a while, and is work like any other.
      if (perLink <= framesAtRest) break
    }
    if (perLink > framesAtRest)
      throw new Violation('bounded', `${perLink.toFixed(1)} frames on each link and second, and no end`)
    this.#areForgotten()
    this.#world.goods.areGone()
    if (!this.#random.chance(0.3)) return
    for (const node of sound) this.#world.acts.crash(node, 'synced', true, undefined)
    for (const node of sound) clock.after(this.#random.next() * 500, () => this.#world.join(node))
    this.#world.until(() => false, 2 * restMs)
    this.#agree()
  }

  /** Whoever was away has heard of it by now, and nobody brings it back. */
  #areForgotten(): void {
    const released = new Set(
      this.#world.clients.flatMap(({ jobs }) =>
        jobs.filter(({ isReleased }) => isReleased).map(({ id }) => id)
      )
    )
    // Minutes of virtual time for nothing else: not in every seed.
    if (released.size === 0 || !this.#random.chance(0.25)) return
    this.#world.until(() => false, compareEveryMs)
    const rounds = this.#sound().length
    for (let round = 1; round <= rounds && this.#unforgotten(released) !== undefined; round++)
      this.#world.until(() => false, compareEveryMs)
    const left = this.#unforgotten(released)
    if (left !== undefined) throw new Violation('no-zombie', `${left}, which was released`)
  }

  #unforgotten(released: ReadonlySet<JobId>): string | undefined {
    for (const { id, core } of this.#sound()) {
      // Who alone kept a shard shares it with nobody, and hears nothing of it.
      // Keepers of a shard tell each other. If none of them that is left was told, only the node knows at which the job was
      // released, and that may have restarted since (an open fault).
      const hasHeard = (peer: PeerId, job: JobId): boolean =>
        this.#checkers.over.has(peer) && this.#checkers.durable.hasForgotten(peer, job)
      const left = core?.keeper.keys().find((key) => {
        const { job } = shardName(key)
        return released.has(job) && core.keeper.record(key)?.keepers.some((peer) => hasHeard(peer, job))
      })
      if (left !== undefined) return `${id} still keeps ${left}`
    }
    return undefined
  }

  #sound(): SimNode[] {
    return this.#world.nodes.filter((node) => !this.#world.broken.has(node))
  }

  /** A shard of a job that is over, of which two epochs are kept: only one of them counts. */
  #keptTwice(): ShardKey | undefined {
    const keepers = this.#sound().flatMap(({ core }) => (core === undefined ? [] : [core.keeper]))
    const over = new Set<JobId>()
    const epochs = new Map<string, ShardKey>()
    const keys = new Set(keepers.flatMap((keeper) => keeper.keys()))
    for (const key of keys) {
      const { job, index } = shardName(key)
      if (index === 0 && keepers.some((keeper) => keeper.isSettled(key))) over.add(job)
    }
    for (const key of keys) {
      const { job, index } = shardName(key)
      // In a split, two keepers may each have named another one.
      if (!over.has(job) || this.#checkers.durable.hasPair(job)) continue
      if (epochs.has(`${job}/${index}`)) return key
      epochs.set(`${job}/${index}`, key)
    }
    return undefined
  }

  /** A shard that was acknowledged, and of which nobody who is there says that all its tasks have ended. */
  #underWay(): ShardKey | undefined {
    const cores = this.#sound().flatMap(({ core }) => core ?? [])
    const keys = new Set(cores.flatMap(({ keeper }) => keeper.keys()))
    return [...keys].find((key) => {
      const { job } = shardName(key)
      if (!this.#checkers.isAccepted(key) || this.#checkers.durable.hasPair(job)) return false
      const isOver = ({ keeper, owner }: NodeCore): boolean =>
        keeper.isSettled(key) || owner.leads.get(key)?.queue.unfinished === 0
      return !cores.some(isOver)
    })
  }

  #agree(): void {
    const keepers = this.#sound().flatMap(({ core }) => (core === undefined ? [] : [core.keeper]))
    for (const key of new Set(keepers.flatMap((keeper) => keeper.keys()))) {
      // Two keepers may each have settled alone.
      if (this.#checkers.durable.hasPair(shardName(key).job)) continue
      const copies = keepers.filter((keeper) => keeper.isSettled(key)).map((keeper) => keeper.outcomes(key))
      this.#checkers.agree(key, copies)
    }
  }

  #isRead(reader: ClientId, job: SimJob, isComplete: boolean): boolean {
    // What one of two keepers alone knows of the job's shards may be lost with it (DESIGN 3), but not to its client.
    if (this.#checkers.durable.hasPair(job.id) || job.mayBeGone) return true
    // One that was cancelled before it had any tasks never left its client.
    if (job.isClosed && job.isComplete && job.shards.length > 0) return isComplete
    return job.shards.every(({ first, count, isAccepted }) => {
      if (!isAccepted) return true
      return range(first, count).every((i) => this.#checkers.received(reader, job.id, i) !== undefined)
    })
  }

  /** Some of its keepers are gone for good; or it is the first shard of a job that was not submitted to its end. */
  #mayStayOpen(keeper: Keeper, key: ShardKey): boolean {
    if (this.#checkers.durable.hasPair(shardName(key).job)) return true
    const record = keeper.record(key)
    const isUp = (node: SimNode | undefined): boolean =>
      node?.isRunning === true && !this.#world.broken.has(node)
    if (record !== undefined && !record.keepers.every((peer) => isUp(this.#world.node(peer)))) return true
    // One of its keepers may have accepted what was never committed, so it is enough that another one knows of no end.
    const keepers = this.#sound().flatMap(({ core }) => (core === undefined ? [] : [core.keeper]))
    if (keepers.some((one) => one.isSettled(key))) return false
    // The mesh ends the job of a task that is over, unless that had said how many shards there would be.
    const isCounted = record === undefined || !isUncounted({ record, committed: keeper.outcomes(key) })
    if (!isCounted && this.#world.nests.isOver(record.header.parent)) return false
    return keepers.some((one) => one.record(key) !== undefined && isOpenRoot(one, key))
  }

  #jobOf(reader: ClientId): SimJob | undefined {
    const job = this.#world.clients.find(({ id }) => id === reader)?.reading
    return this.#world.clients.flatMap(({ jobs }) => jobs).find(({ id }) => id === job)
  }

  #unsettled(): string {
    const parts = this.#world.nodes.map((node) => {
      const { id, core } = node
      const state = this.#world.broken.has(node) ? ' (broken)' : ''
      if (core === undefined) return `${id}${state} is down`
      const { owner, runner, entry, keeper } = core
      const open = keeper.keys().filter((key) => !keeper.isSettled(key) && !this.#mayStayOpen(keeper, key))
      const waits = `${owner.unfinished} unfinished, ${runner.queued} queued, ${runner.running} running`
      return `${id}${state}: [${open.join(' ')}] ${waits}, ${entry.submissions} submissions`
    })
    const readers = this.#world.clients.flatMap(({ id, completed, entry }) => {
      const job = this.#jobOf(id)
      const isWaiting = job !== undefined && !this.#isRead(id, job, completed.has(job.id))
      return isWaiting ? [`${id} waits at ${entry?.id}`] : []
    })
    const guests = this.#world.nests.at(this.#sound()).map(({ id }) => `${id} is not over`)
    const twice = this.#keptTwice()
    const underWay = this.#underWay()
    return [
      ...parts,
      ...readers,
      ...guests,
      ...(twice === undefined ? [] : [`${twice} is kept twice`]),
      ...(underWay === undefined ? [] : [`${underWay} has not ended`])
    ].join('; ')
  }
}

/** True if this keeper does not know of all shards of the job. */
function isOpenRoot(keeper: Keeper, key: ShardKey): boolean {
  const record = keeper.record(key)
  if (record === undefined || shardName(key).index !== 0) return false
  return !isClosed({ record, committed: keeper.outcomes(key) })
}

const range = (first: number, count: number): number[] => Array.from({ length: count }, (_, i) => first + i)
