/**
 * Proposes one state after another of one cell to the members of a list, and says which are decided.
 *
 * Not here: what the states mean (coordinator.ts, chair.ts), voting (acceptor.ts).
 * The proposer of CASPaxos: reads from a majority what may have been decided, makes the next state of it, and has that
 * accepted. Along with it goes the promise for its next round, so that it reads only once while nobody else proposes. A ballot
 * bears the name of its proposer and the number of its life, so it is never used again after a restart.
 */
import type { PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { type CellSend, say } from './effects.ts'
import { type Ballot, type CellMessageOf, compareBallots, nextBallot } from './messages.ts'

/** Where it proposes. */
export interface Ground {
  readonly mesh: string
  readonly number: number
  readonly name: string
  readonly voters: readonly PeerId[]
  /** Votes that decide. */
  readonly quorum: number
  /** All whose consent is needed, where the first council is founded. */
  readonly electors: readonly PeerId[]
}

/** Who proposes. `round` is the last one that it used in this life, for whatever. */
export interface Me {
  readonly self: PeerId
  readonly boot: number
  round: number
}

/** Bytes that come again are the same object, if nothing is to change. */
export type Transform = (state: Uint8Array | undefined) => Uint8Array

type Phase =
  | { readonly kind: 'idle' }
  | {
      readonly kind: 'preparing'
      readonly ballot: Ballot
      readonly votes: Set<PeerId>
      best: { readonly ballot: Ballot; readonly state: Uint8Array } | undefined
    }
  | {
      readonly kind: 'accepting' | 'checking'
      readonly ballot: Ballot
      readonly votes: Set<PeerId>
      readonly state: Uint8Array
    }

/** What was not answered is said again. */
const againMs = 700

export class Proposer {
  readonly ground: Ground
  readonly #me: Me
  readonly #transform: Transform
  #phase: Phase = { kind: 'idle' }
  /** The last state that was decided here, while nobody else is known to have come. */
  #held: { readonly ballot: Ballot; readonly state: Uint8Array } | undefined
  #saidAt: Millis = 0
  /** Tells one check from the one before, which was about the same ballot. */
  #serial = 0

  constructor(me: Me, ground: Ground, transform: Transform) {
    this.#me = me
    this.ground = ground
    this.#transform = transform
  }

  get isIdle(): boolean {
    return this.#phase.kind === 'idle'
  }

  /** Brings about one more decision. While one is under way, nothing. */
  begin(now: Millis): CellSend[] {
    if (this.#phase.kind !== 'idle') return []
    if (this.#held === undefined) {
      const { number: list } = this.ground
      const { self: by, boot } = this.#me
      const ballot = { list, round: ++this.#me.round, boot, by }
      this.#phase = { kind: 'preparing', ballot, votes: new Set(), best: undefined }
      return this.#say(now)
    }
    const { ballot, state } = this.#held
    const next = this.#transform(state)
    if (next === state) {
      this.#serial++
      this.#phase = { kind: 'checking', ballot, votes: new Set(), state }
    } else this.#accept(nextBallot(ballot), next)
    return this.#say(now)
  }

  /** Somebody else has proposed since. */
  overtaken(): void {
    this.#held = undefined
  }

  promised(from: PeerId, message: CellMessageOf<'cell-promised'>, now: Millis): CellSend[] {
    const phase = this.#phase
    if (phase.kind !== 'preparing' || !this.#counts(from, message.ballot, phase.ballot)) return []
    const [accepted] = message.accepted
    if (
      accepted !== undefined &&
      (phase.best === undefined || compareBallots(accepted.ballot, phase.best.ballot) > 0)
    )
      phase.best = accepted
    phase.votes.add(from)
    if (phase.votes.size < this.ground.quorum) return []
    // What may have been decided is decided anew, even if nothing is added to it.
    this.#accept(phase.ballot, this.#transform(phase.best?.state))
    return this.#say(now)
  }

  /** What is decided by this vote, if it is the one that was missing. */
  voted(from: PeerId, message: CellMessageOf<'cell-accepted' | 'cell-checked'>): Uint8Array | undefined {
    const phase = this.#phase
    const kind = message.kind === 'cell-accepted' ? 'accepting' : 'checking'
    if (phase.kind !== kind || !this.#counts(from, message.ballot, phase.ballot)) return undefined
    if (message.kind === 'cell-checked' && message.serial !== this.#serial) return undefined
    phase.votes.add(from)
    if (phase.votes.size < this.ground.quorum) return undefined
    this.#held = { ballot: phase.ballot, state: phase.state }
    this.#phase = { kind: 'idle' }
    return phase.state
  }

  /** True if that ended what was under way: it has to begin anew, after a moment. */
  rejected(message: CellMessageOf<'cell-rejected'>): boolean {
    const phase = this.#phase
    if (phase.kind === 'idle' || compareBallots(message.ballot, phase.ballot) !== 0) return false
    const { promised } = message
    const isOwn = promised.by === this.#me.self && promised.boot === this.#me.boot
    // What was said twice on its way is answered by what this node has brought about itself since.
    if (phase.kind !== 'checking' && isOwn && compareBallots(promised, nextBallot(phase.ballot)) <= 0)
      return false
    this.#me.round = Math.max(this.#me.round, promised.round)
    this.#held = undefined
    this.#phase = { kind: 'idle' }
    return true
  }

  /** Says again what was not answered. */
  again(now: Millis): CellSend[] {
    return this.#phase.kind === 'idle' || now - this.#saidAt < againMs ? [] : this.#say(now)
  }

  /** Nobody wants a decision any more. */
  stop(): void {
    // What is under way may yet be accepted, so nobody can know what is there now.
    if (this.#phase.kind !== 'idle') this.#held = undefined
    this.#phase = { kind: 'idle' }
  }

  wakeAt(): Millis | undefined {
    return this.#phase.kind === 'idle' ? undefined : this.#saidAt + againMs
  }

  #counts(from: PeerId, ballot: Ballot, own: Ballot): boolean {
    return this.ground.voters.includes(from) && compareBallots(ballot, own) === 0
  }

  #accept(ballot: Ballot, state: Uint8Array): void {
    this.#phase = { kind: 'accepting', ballot, votes: new Set(), state }
    // The round after it is promised along with it.
    this.#me.round = Math.max(this.#me.round, ballot.round + 1)
  }

  #say(now: Millis): CellSend[] {
    const phase = this.#phase
    if (phase.kind === 'idle') return []
    this.#saidAt = now
    const { mesh, number, name, voters, electors } = this.ground
    const where = { mesh, number, name, ballot: phase.ballot }
    const open = voters.filter((peer) => !phase.votes.has(peer))
    if (phase.kind === 'preparing')
      return open.map((to) => say(to, { kind: 'cell-prepare', ...where, electors }))
    if (phase.kind === 'checking')
      return open.map((to) => say(to, { kind: 'cell-check', ...where, serial: this.#serial }))
    return open.map((to) => say(to, { kind: 'cell-accept', ...where, state: phase.state }))
  }
}
