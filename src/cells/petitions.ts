/**
 * An entry's part: brings the commands of its clients to a member of the council, and their answers back.
 *
 * Not here: what becomes of them (coordinator.ts). Nothing here need survive: a client says its command again to its next entry.
 * A command is asked for until it is answered. If nobody says for long that a majority is there, it is refused; then it may
 * have been done all the same, unless it never reached anybody.
 */
import type { ErrorCode } from '../errors.ts'
import type { ClientId, PeerId } from '../ids.ts'
import { assert, earlier, type Millis } from '../machine.ts'
import { hash32 } from '../random.ts'
import type { CellAnswer, CellQuestionOf } from './client-messages.ts'
import { isCellName, isSame } from './commands.ts'
import { cellsMax, inOrder } from './council.ts'
import { type CellEffect, type CellReply, type CellSurroundings, say } from './effects.ts'
import type { CellMessageOf, Council } from './messages.ts'

/** Commands of the clients of one entry that wait; further ones are refused. */
export const petitionsMax = 10_000
/** Between two times that it is asked for, also to hear that somebody is there. */
const askEveryMs = 2_500
/** Without a word for so long, it is refused. */
export const unheardMaxMs = 12_000

interface Petition {
  readonly client: ClientId
  readonly ask: number
  readonly cell: string
  readonly id: string
  command: Uint8Array
  base: number
  /** It was sent to somebody, perhaps by an earlier entry. */
  times: number
  to: PeerId | undefined
  askedAt: Millis
  heardAt: Millis
}

export class Petitions {
  readonly #view: Pick<CellSurroundings, 'canVote'>
  readonly #byId = new Map<string, Petition>()
  #council: Council | undefined

  constructor(view: Pick<CellSurroundings, 'canVote'>) {
    this.#view = view
  }

  get size(): number {
    return this.#byId.size
  }

  command(client: ClientId, message: CellQuestionOf<'command'>, now: Millis): CellEffect[] {
    const { ask, cell, id, base, isFirst, command } = message
    const noted: CellEffect = { kind: 'reply', client, message: { kind: 'noted', ask } }
    const known = this.#byId.get(id)
    if (known !== undefined && known.client === client) {
      if (isSame(known.command, command)) return [noted]
      known.command = command
      return [noted, ...this.#ask(known, now)]
    }
    if (!isCellName(cell))
      return [refuse(client, ask, 'SHOAL_BAD_OPTION', `${JSON.stringify(cell)} is no name of a cell`)]
    if (this.#byId.size >= petitionsMax)
      return [
        refuse(client, ask, 'SHOAL_BUSY', `${petitionsMax} commands wait at this entry; wait and try again`)
      ]
    const times = isFirst ? 0 : 1
    const one = { client, ask, cell, id, command, base, times, to: undefined, askedAt: now, heardAt: now }
    this.#byId.set(id, one)
    return [noted, ...this.#ask(one, now)]
  }

  withdraw(client: ClientId, ask: number): CellEffect[] {
    const one = [...this.#byId.values()].find((other) => other.client === client && other.ask === ask)
    return one === undefined ? [] : this.#end(one)
  }

  clientGone(client: ClientId): CellEffect[] {
    const gone = [...this.#byId.values()].filter((one) => one.client === client)
    return gone.flatMap((one) => this.#end(one))
  }

  answer(
    from: PeerId,
    { id, word, version, answer }: CellMessageOf<'cell-answer'>,
    now: Millis
  ): CellEffect[] {
    const one = this.#byId.get(id)
    // Who was asked first may have done it, too.
    if (one === undefined || (word !== 'decided' && one.to !== from)) return []
    one.heardAt = now
    if (word === 'decided') {
      this.#byId.delete(id)
      return [reply(one, { kind: 'decided', ask: one.ask, version, answer })]
    }
    if (word === 'stale') {
      // Said once, and not done then: it is made at this version, as if it were said now.
      if (one.times === 1 && one.base < version) {
        one.base = version
        one.times = 0
        return this.#ask(one, now)
      }
      const text = 'so much was done since that nobody can tell whether this was, too; look, and decide'
      return [...this.#end(one), refuse(one.client, one.ask, 'SHOAL_UNDECIDED', text)]
    }
    one.base = Math.max(one.base, version)
    if (word !== 'busy' && word !== 'full') return []
    const text =
      word === 'busy'
        ? 'too many commands wait at the council; wait and try again'
        : `this mesh keeps no more names of locks, variables, events, queues and keys of jobs than ${cellsMax}, each for good, and has as many; use names again, as one for each machine and not for each order`
    return [...this.#end(one), refuse(one.client, one.ask, 'SHOAL_BUSY', text)]
  }

  /** Another list of members. */
  serve(council: Council, now: Millis): CellEffect[] {
    this.#council = council
    return [...this.#byId.values()].flatMap((one) => this.#ask(one, now))
  }

  peerDown(peer: PeerId, now: Millis): CellEffect[] {
    return [...this.#byId.values()].flatMap((one) => (one.to === peer ? this.#ask(one, now) : []))
  }

  /** `why`: there is no council yet. */
  wake(why: string, now: Millis): CellEffect[] {
    const effects: CellEffect[] = []
    for (const one of [...this.#byId.values()]) {
      if (now - one.heardAt > unheardMaxMs) effects.push(...this.#giveUp(one, why))
      else if (now - one.askedAt >= askEveryMs) effects.push(...this.#ask(one, now))
    }
    return effects
  }

  wakeAt(): Millis | undefined {
    let at: Millis | undefined
    for (const { askedAt, heardAt } of this.#byId.values())
      at = earlier(at, Math.min(askedAt + askEveryMs, heardAt + unheardMaxMs + 1))
    return at
  }

  check(): void {
    assert(this.#byId.size <= petitionsMax, `${this.#byId.size} petitions`)
  }

  #ask(one: Petition, now: Millis): CellEffect[] {
    one.askedAt = now
    const council = this.#council
    if (council === undefined) return []
    const { mesh, number, members } = council
    const ranked = inOrder(members, (peer) => hash32(`${one.cell}|${peer}`))
    const to = ranked.find((peer) => this.#view.canVote(peer))
    if (to === undefined) return []
    const { cell: name, id, base, command, to: before } = one
    one.to = to
    one.times++
    const moved =
      before === undefined || before === to ? [] : [say(before, { kind: 'cell-withdraw', name, id })]
    return [...moved, say(to, { kind: 'cell-ask', mesh, number, name, id, base, command })]
  }

  #end(one: Petition): CellEffect[] {
    this.#byId.delete(one.id)
    const { cell: name, id, to } = one
    return to === undefined ? [] : [say(to, { kind: 'cell-withdraw', name, id })]
  }

  #giveUp(one: Petition, why: string): CellEffect[] {
    const isSafe = one.times === 0
    const council = this.#council
    const reason =
      council === undefined
        ? why
        : `of the ${council.members.length} nodes that keep it, not more than half answer: ${council.members.join(', ')}`
    const text = isSafe ? `nothing was done: ${reason}` : `it may or may not have been done: ${reason}`
    return [...this.#end(one), refuse(one.client, one.ask, 'SHOAL_NO_QUORUM', text)]
  }
}

const reply = ({ client }: Petition, message: CellAnswer): CellReply => ({ kind: 'reply', client, message })

const refuse = (client: ClientId, ask: number, code: ErrorCode, text: string): CellReply => ({
  kind: 'reply',
  client,
  message: { kind: 'undecided', ask, code, message: text.slice(0, 1_024) }
})
