/**
 * Everything that a node does for cells: small named states that all nodes agree on, kept by a council of some of them.
 *
 * Not here: each part of it (the files beside this one). This one only says which part a message is for, and whether what was
 * said in one list of members is heard in it.
 */
import type { ClientId, PeerId } from '../ids.ts'
import { earlier, type Millis } from '../machine.ts'
import type { Random } from '../random.ts'
import { Acceptor } from './acceptor.ts'
import { Chair } from './chair.ts'
import type { CellQuestion } from './client-messages.ts'
import { Coordinator } from './coordinator.ts'
import { cellsBytesMax, cellsMax, isNewer } from './council.ts'
import { type CellEffect, type CellSurroundings, say } from './effects.ts'
import type { CellMessage, CellMessageOf, CellRecord, Council } from './messages.ts'
import { Petitions } from './petitions.ts'
import type { Me } from './proposer.ts'
import { Seating } from './seating.ts'

const tendEveryMs = 1_000

export class Cells {
  readonly #view: CellSurroundings
  readonly #acceptor: Acceptor
  readonly #seating: Seating
  readonly #chair: Chair
  readonly #coordinator: Coordinator
  readonly #petitions: Petitions
  #tendAt: Millis = 0

  constructor(view: CellSurroundings, random: Random) {
    this.#view = view
    const { self, boot } = view
    const me: Me = { self, boot, round: 0 }
    this.#acceptor = new Acceptor(self)
    this.#seating = new Seating(self, this.#acceptor)
    this.#chair = new Chair(view, this.#acceptor, this.#seating, me, random.fork('chair'))
    this.#coordinator = new Coordinator(me, random.fork('coordinator'))
    this.#petitions = new Petitions(view)
  }

  /** Who keeps all cells, as far as this node knows. */
  get council(): Council | undefined {
    return this.#acceptor.council
  }

  /** What is kept here. */
  get counts(): { readonly cells: number; readonly bytes: number; readonly waiting: number } {
    return { cells: this.#acceptor.size, bytes: this.#acceptor.bytes, waiting: this.#coordinator.waiting }
  }

  restore(record: CellRecord): void {
    this.#acceptor.restore(record)
  }

  restored(now: Millis): CellEffect[] {
    this.#acceptor.restored()
    return this.council === undefined ? [] : [...this.#seating.begin(now), ...this.#serve(now)]
  }

  client(client: ClientId, message: CellQuestion, now: Millis): CellEffect[] {
    if (message.kind === 'withdraw') return this.#petitions.withdraw(client, message.ask)
    const effects = this.#petitions.command(client, message, now)
    if (this.council !== undefined) return effects
    this.#chair.want(this.#petitions.size > 0)
    return [...effects, ...this.#chair.look(now)]
  }

  clientGone(client: ClientId): CellEffect[] {
    return this.#petitions.clientGone(client)
  }

  peerUp(peer: PeerId, now: Millis): CellEffect[] {
    this.#chair.met()
    if (this.council === undefined) return this.#chair.look(now)
    return [say(peer, { kind: 'council', council: this.council })]
  }

  peerDown(peer: PeerId, now: Millis): CellEffect[] {
    this.#coordinator.peerDown(peer)
    return this.#petitions.peerDown(peer, now)
  }

  message(from: PeerId, message: CellMessage, now: Millis): CellEffect[] {
    switch (message.kind) {
      case 'council':
        return this.#learn(from, message.council, now)
      case 'cell-answer':
        return this.#petitions.answer(from, message, now)
      case 'cell-withdraw':
        this.#coordinator.withdraw(message.name, message.id)
        return []
      case 'cell-kept':
      case 'council-kept':
        return []
      default:
        return this.#inList(from, message, now)
    }
  }

  /** Tends what is under way. Its disk is relied on for every vote, so without a sound one it only asks. */
  wake(now: Millis): CellEffect[] {
    const isAwaited = this.#petitions.size > 0 && this.council === undefined
    const effects = this.#petitions.wake(isAwaited ? this.#chair.absent(now) : '', now)
    this.#chair.want(this.#petitions.size > 0)
    if (!this.#view.isSound()) return effects
    effects.push(...this.#coordinator.wake(now), ...this.#chair.wake(now))
    if (now < this.#tendAt) return effects
    this.#tendAt = now + tendEveryMs
    return [...effects, ...this.#seating.again(now), ...this.#remind()]
  }

  wakeAt(): Millis | undefined {
    if (!this.#view.isSound()) return this.#petitions.wakeAt()
    const isTending = this.#seating.isPulling || this.#hasBurden
    const at = earlier(this.#petitions.wakeAt(), isTending ? this.#tendAt : undefined)
    return earlier(earlier(at, this.#coordinator.wakeAt()), this.#chair.wakeAt())
  }

  /** What others have yet to take over from a node that leaves. */
  movable(now: Millis): number {
    return Number(this.#chair.isReplaceable(now))
  }

  check(): void {
    this.#acceptor.verify()
    this.#coordinator.check()
    this.#petitions.check()
  }

  /** Has what it may not need to have any more. */
  get #hasBurden(): boolean {
    return !this.#acceptor.isMember && this.#acceptor.hasOld && !this.#seating.isInForce
  }

  /** Members say that they are seated to whoever asks by naming the list. */
  #remind(): CellEffect[] {
    const { council } = this
    if (council === undefined || !this.#hasBurden) return []
    return council.members.map((to) => say(to, { kind: 'council', council }))
  }

  #learn(from: PeerId, council: Council, now: Millis): CellEffect[] {
    const known = this.council
    if (!isNewer(council, known)) {
      const isSame = known !== undefined && !isNewer(known, council)
      return isSame ? this.#seating.tell(from) : this.#correct(from)
    }
    return this.#adopt(council, now, from)
  }

  #adopt(council: Council, now: Millis, from?: PeerId): CellEffect[] {
    const written = this.#acceptor.learn(council)
    this.#chair.over()
    const told = this.#view.peers().filter((peer) => peer !== from)
    return [
      ...written,
      ...told.map((to) => say(to, { kind: 'council', council })),
      ...this.#seating.begin(now),
      ...this.#serve(now)
    ]
  }

  #serve(now: Millis): CellEffect[] {
    const { council, isSeated } = this.#acceptor
    this.#coordinator.serve(isSeated ? council : undefined)
    return council === undefined ? [] : this.#petitions.serve(council, now)
  }

  #correct(to: PeerId): CellEffect[] {
    return this.council === undefined ? [] : [say(to, { kind: 'council', council: this.council })]
  }

  /** What is said in one list of members. */
  #inList(
    from: PeerId,
    message: Exclude<
      CellMessage,
      CellMessageOf<'council' | 'cell-answer' | 'cell-withdraw' | 'cell-kept' | 'council-kept'>
    >,
    now: Millis
  ): CellEffect[] {
    const { mesh, number } = this.council ?? { mesh: '', number: 0 }
    // One of the two knows a newer list, and tells the other.
    if (message.mesh !== mesh || message.number !== number)
      return this.council === undefined
        ? [say(from, { kind: 'cell-seated', mesh, number })]
        : this.#correct(from)
    if (!this.#view.isSound()) return []
    switch (message.kind) {
      case 'cell-seated':
        return this.#seating.seated(from)
      case 'cell-pull':
        return this.#seating.pulled(from, message)
      case 'cell-page': {
        const wasSeated = this.#acceptor.isSeated
        const effects = this.#seating.page(from, message, now)
        return this.#acceptor.isSeated === wasSeated ? effects : [...effects, ...this.#serve(now)]
      }
      default:
        return this.#vote(from, message, now)
    }
  }

  #vote(
    from: PeerId,
    message: CellMessageOf<
      | 'cell-prepare'
      | 'cell-promised'
      | 'cell-rejected'
      | 'cell-accept'
      | 'cell-accepted'
      | 'cell-check'
      | 'cell-checked'
      | 'cell-ask'
    >,
    now: Millis
  ): CellEffect[] {
    const isFounding = this.council === undefined
    if (!isFounding && !this.#acceptor.isSeated) return []
    if (isFounding && message.name !== '') return []
    switch (message.kind) {
      case 'cell-ask':
        return this.#hasRoom(message) ? this.#coordinator.ask(from, message, now) : [full(from, message.id)]
      case 'cell-prepare':
        if (isFounding && !this.#consents(message.electors)) return []
        return this.#acceptor.prepare(from, message)
      case 'cell-accept': {
        const effects = this.#acceptor.accept(from, message)
        if (from === this.#view.self || message.name === '') return effects
        return [...effects, ...this.#coordinator.overtaken(message.name, message.state, now)]
      }
      case 'cell-check':
        return this.#acceptor.check(from, message)
      default:
        return message.name === ''
          ? this.#list(from, message, now)
          : this.#coordinator.message(from, message, now)
    }
  }

  /** About the next list. */
  #list(
    from: PeerId,
    message: CellMessageOf<'cell-promised' | 'cell-rejected' | 'cell-accepted' | 'cell-checked'>,
    now: Millis
  ): CellEffect[] {
    if (message.kind === 'cell-promised') return this.#chair.promised(from, message, now)
    if (message.kind === 'cell-rejected') this.#chair.rejected(message, now)
    if (message.kind !== 'cell-accepted') return []
    const council = this.#chair.voted(from, message)
    return council === undefined ? [] : this.#adopt(council, now)
  }

  /** Who founds a council must have heard of everybody that this node has heard of. */
  #consents(electors: readonly PeerId[]): boolean {
    const all = new Set(electors)
    return this.#view.everybody().every((peer) => all.has(peer))
  }

  #hasRoom({ name }: CellMessageOf<'cell-ask'>): boolean {
    const { size, bytes } = this.#acceptor
    return (size < cellsMax && bytes < cellsBytesMax) || this.#acceptor.has(name)
  }
}

const full = (to: PeerId, id: string): CellEffect =>
  say(to, { kind: 'cell-answer', id, word: 'full', version: 0, answer: new Uint8Array(0) })
