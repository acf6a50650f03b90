/**
 * Makes accidents happen, and ends them.
 *
 * Not here: when and which (plan.ts). What an act draws it draws from a stream of its own, so that one act more or less does not
 * change the others.
 */
import type { ClientId, PeerId } from '../../src/ids.ts'
import type { Millis } from '../../src/machine.ts'
import { type Random, seededRandom } from '../../src/random.ts'
import type { Availability } from '../../src/tasks/effects.ts'
import type { ShardRecord } from '../../src/tasks/messages.ts'
import type { SimNode } from './node.ts'
import type { Act, DiskFate, Pick } from './plan.ts'
import type { World } from './world.ts'

export class Acts {
  readonly #world: World
  readonly #random: Random
  #disksToLose: number
  /** Who uses which machine: a later one takes the place of an earlier one. */
  readonly #users = new Map<SimNode, number>()
  #uses = 0
  /** That clients were told. */
  #words = 0
  /** Ends everything that lasts, whenever it was to end. */
  #isOver = false
  /** Owners that are alone until somebody gives away their place. */
  readonly #ambushes = new Map<PeerId, { lasts: Millis; relent: () => void }>()

  constructor(world: World, random: Random, disksToLose: number) {
    this.#world = world
    this.#random = random
    this.#disksToLose = disksToLose
  }

  over(): void {
    this.#isOver = true
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** For good. */
  get disksLost(): number {
    return this.#world.plan.disksToLose - this.#disksToLose
  }

  /** A client was told something. */
  heard(word: 'accepted' | 'results' | 'complete'): void {
    const { plan, clock } = this.#world
    const { blackout } = plan
    if (word !== blackout?.word || clock.now > plan.troubleMs) return
    if (++this.#words === blackout.after) clock.after(0, () => this.happen(blackout.act))
  }

  happen(act: Act): void {
    if (this.#isOver) return
    switch (act.kind) {
      case 'crash': {
        const node = at(this.#running(), act.pick)
        if (node !== undefined) this.crash(node, act.disk, act.isSilent, act.backAfter)
        return
      }
      case 'power-cut':
        for (const node of this.#running())
          this.crash(node, act.disk, true, act.backAfter + this.#random.next() * act.spread)
        return
      case 'storm':
        for (const node of this.#running()) {
          if (!this.#random.chance(act.share)) continue
          this.#later(this.#random.next() * 300, () => {
            if (node.isRunning)
              this.crash(node, 'synced', act.isSilent, act.backAfter * (0.5 + this.#random.next()))
          })
        }
        return
      case 'leave': {
        const node = at(this.#running(), act.pick)
        if (node !== undefined) this.#leave(node, act.patience, act.backAfter)
        return
      }
      case 'part':
        return this.#part(seededRandom(act.seed), act.isOneWay, act.lasts)
      case 'split':
        return this.#split(new Set(act.side as PeerId[]), false, act.lasts)
      case 'ambush':
        return this.#ambush(act.lasts)
      case 'flap':
        return this.#flap(act.pick, act.times, act.everyMs)
      case 'clog':
        return this.#clog(seededRandom(act.seed), act.links, act.everyMs)
      case 'pause': {
        const node = at(this.#running(), act.pick)
        node?.pause(act.lasts)
        if (node !== undefined) this.#world.note(node.id, `stands still for ${seconds(act.lasts)}`)
        return
      }
      case 'clock':
        return at(this.#running(), act.pick)?.stepClock(act.step)
      case 'full-disk': {
        const node = at(this.#running(), act.pick)
        node?.fillDisk()
        return
      }
      case 'use': {
        const node = at(this.#running(), act.pick)
        if (node !== undefined) this.#use(node, act)
        return
      }
      case 'busy':
        return at(this.#running(), act.pick)?.refuse(act.lasts)
      case 'client-dies':
        return at(this.#world.clients, act.pick)?.die()
      case 'damage':
        return this.#world.goods.damage(act.pick, this.#disksToLose)
      case 'client-leaves':
        return at(this.#world.clients, act.pick)?.leave(act.backAfter)
    }
  }

  crash(node: SimNode, wanted: DiskFate, isSilent: boolean, backAfter: Millis | undefined): void {
    const isLoss = wanted === 'empty' || wanted === 'flipped'
    const isKept =
      this.#disksToLose === 0 ||
      this.#world.isTargeted(node.plan) ||
      this.#world.cells?.judge.isNeeded(node) === true
    const fate = isLoss && isKept ? 'synced' : wanted
    const { id } = node
    const lost: ReadonlySet<ClientId> = new Set(node.clients)
    if (node.crash(fate)) {
      this.#disksToLose--
      this.#world.renamed(id, node)
    }
    this.#world.note(id, fate === 'empty' ? 'is destroyed, with its disk' : 'crashes')
    this.#world.network.gone(id, isSilent)
    for (const client of this.#world.attached()) if (lost.has(client.streamId)) client.lose()
    if (backAfter !== undefined) this.#later(backAfter, () => this.#world.join(node))
  }

  #leave(node: SimNode, patience: Millis, backAfter: Millis | undefined): void {
    const { life } = node
    const isSame = (): boolean => node.life === life && node.isRunning
    this.#world.note(node.id, 'begins to leave')
    node.step({ kind: 'leave', runs: 'finish' })
    this.#later(patience, () => {
      if (isSame()) node.step({ kind: 'leave', runs: 'give back' })
    })
    this.#later(patience + 1_000, () => {
      if (isSame()) this.crash(node, 'synced', false, backAfter)
    })
  }

  #use(node: SimNode, { lasts, handBackAfter, stops }: Extract<Act, { kind: 'use' }>): void {
    const { life } = node
    const use = ++this.#uses
    this.#users.set(node, use)
    const attend = (availability: Availability): void => {
      if (node.life === life && node.isRunning && this.#users.get(node) === use)
        node.attend(availability, stops)
    }
    this.#world.note(node.id, `is used for ${seconds(lasts)}`)
    attend('paused')
    if (handBackAfter < lasts) this.#later(handBackAfter, () => attend('closed'))
    this.#later(lasts, () => attend('open'))
  }

  #running(): SimNode[] {
    return this.#world.nodes.filter(({ isRunning }) => isRunning)
  }

  #later(after: Millis, what: () => void): void {
    this.#world.clock.after(after, () => {
      if (!this.#isOver) what()
    })
  }

  /** Some nodes cannot talk to the others for a while; now and then only in one direction. */
  #part(random: Random, isOneWay: boolean, lasts: Millis): void {
    const side = this.#world.nodes.filter(() => random.chance(0.4)).map(({ id }) => id)
    this.#split(new Set(side), isOneWay, lasts)
  }

  #ambush(lasts: Millis): void {
    const { network } = this.#world
    const busy = this.#running().toSorted((a, b) => unfinished(b) - unfinished(a))[0]
    if (busy === undefined || unfinished(busy) === 0 || this.#ambushes.has(busy.id)) return
    const relent = network.isolate([busy.id], this.#world.ids())
    this.#world.note('network', `splits: ${busy.id} on one side`)
    this.#ambushes.set(busy.id, { lasts, relent })
  }

  /** `mover` brings a shard to other keepers. */
  moves(mover: SimNode, { before, keepers }: ShardRecord): void {
    for (const [peer, { lasts, relent }] of this.#ambushes) {
      if (!before.includes(peer) || keepers.includes(peer)) continue
      this.#ambushes.delete(peer)
      const isNew = (one: PeerId): boolean => keepers.includes(one) && !before.includes(one)
      const side = this.#world.nodes.map(({ id }) => id).filter((one) => one === mover.id || isNew(one))
      this.#later(this.#random.next() * 20, () => {
        relent()
        this.#split(new Set(side), false, lasts)
      })
    }
  }

  #split(side: ReadonlySet<PeerId>, isOneWay: boolean, lasts: Millis): void {
    const { nodes, network } = this.#world
    const ways = [...side].flatMap((a) =>
      nodes
        .map(({ id }) => id)
        .filter((b) => !side.has(b))
        .flatMap((b) => (isOneWay ? [[a, b] as const] : [[a, b] as const, [b, a] as const]))
    )
    for (const [a, b] of ways) network.cut(a, b)
    this.#world.note('network', `splits: ${[...side].join(', ') || 'nobody'} on one side`)
    this.#later(lasts, () => {
      for (const [a, b] of ways) network.mend(a, b)
      this.#world.note('network', 'heals')
    })
  }

  /** One link goes down and up and down. */
  #flap(pick: Pick, times: number, everyMs: Millis): void {
    const { nodes, network } = this.#world
    const a = at(nodes, pick)?.id
    const b = at(
      nodes.filter(({ id }) => id !== a),
      this.#random.next()
    )?.id
    if (a === undefined || b === undefined) return
    for (let i = 0; i < times; i++) {
      this.#later(2 * i * everyMs, () => {
        network.cut(a, b)
        network.cut(b, a)
      })
      this.#later((2 * i + 1) * everyMs, () => {
        network.mend(a, b)
        network.mend(b, a)
      })
    }
  }

  /** One direction after another is clogged; they come free again in an order of their own. */
  #clog(random: Random, links: number, everyMs: Millis): void {
    const { nodes, network } = this.#world
    for (let i = 0; i < links; i++) {
      const a = random.pick(nodes)?.id
      const b = random.pick(nodes)?.id
      if (a === undefined || b === undefined || a === b) continue
      this.#later(i * everyMs, () => network.clog(a, b))
      this.#later((links + random.next() * links) * everyMs, () => network.unclog(a, b))
    }
  }
}

const unfinished = ({ core }: SimNode): number => core?.owner.unfinished ?? 0

const at = <T extends { readonly id: string }>(items: readonly T[], pick: Pick): T | undefined =>
  typeof pick === 'string' ? items.find(({ id }) => id === pick) : items[Math.floor(pick * items.length)]
const seconds = (ms: Millis): string => `${(ms / 1_000).toFixed(1)} s`
