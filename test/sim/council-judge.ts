/**
 * What must be true of cells on the disks of their members, and which disks must not be lost.
 *
 * Not here: what clients are told (history.ts).
 * Of every change the id of its command is in the state, so that an answer can be judged in its own instant: then a majority of some
 * council has it on disk.
 */
import { parseList } from '../../src/cells/chair.ts'
import { answers, commands, states } from '../../src/cells/commands.ts'
import type { CellMessage, Council } from '../../src/cells/messages.ts'
import type { PeerId } from '../../src/ids.ts'
import type { DiskRecord } from '../../src/node/effects.ts'
import { Violation } from './checkers.ts'
import type { SimNode } from './node.ts'
import type { World } from './world.ts'

/** What these change is remembered in the cell. */
const changing: ReadonlySet<string> = new Set(['set', 'raise', 'acquire', 'release', 'put', 'take'])

export class CouncilJudge {
  readonly #world: World
  /** All lists of members that were ever proposed. */
  readonly #lists = new Map<string, readonly PeerId[]>()
  /** Those that nodes believe to be decided, by their number. */
  readonly #decided = new Map<number, string>()
  readonly #councils = new Set<readonly PeerId[]>()
  /** Nodes whose disks say that there is a council. */
  readonly #knowing = new Set<PeerId>()
  readonly #changing = new Set<string>()
  readonly #done = new Map<string, Set<PeerId>>()

  constructor(world: World) {
    this.#world = world
  }

  synced(peer: PeerId, record: DiskRecord): void {
    if (record.kind === 'council-kept') {
      this.#knowing.add(peer)
      this.#believed(record.council)
    }
    if (record.kind !== 'cell-kept' || record.name === '') return
    for (const { state } of record.accepted)
      for (const { id } of states.parse(state).done)
        this.#done.set(id, (this.#done.get(id) ?? new Set()).add(peer))
  }

  said(from: PeerId, message: CellMessage): void {
    if (message.kind === 'cell-accept' && message.name === '') {
      const members = parseList(message.state)?.members ?? []
      this.#proposed(members)
      this.#world.suffice(members)
    }
    if (message.kind === 'cell-ask' && changing.has(commands.parse(message.command).kind))
      this.#changing.add(message.id)
    if (message.kind === 'cell-answer' && message.word === 'decided' && this.#changing.has(message.id))
      this.#answered(from, message.id, message.answer)
  }

  /** True if a council would not have a majority for good without the disk of this node. */
  isNeeded({ id }: SimNode): boolean {
    const isThere = (peer: PeerId): boolean => peer !== id && this.#world.node(peer) !== undefined
    // Until somebody else knows that there is one, everybody is needed.
    if (![...this.#knowing].some(isThere)) return true
    return [...this.#lists.values()].some(
      (members) => members.includes(id) && members.filter(isThere).length <= members.length / 2
    )
  }

  /** True if some of these know that there is a council, so that none need be founded. */
  areEnough(nodes: readonly SimNode[]): boolean {
    return nodes.some(({ id }) => this.#knowing.has(id))
  }

  #answered(from: PeerId, id: string, answer: Uint8Array): void {
    const { kind } = answers.parse(answer)
    if (kind === 'refused' || kind === 'gone') return
    const disks = this.#done.get(id) ?? new Set<PeerId>()
    const isEnough = (members: readonly PeerId[]): boolean =>
      members.filter((peer) => disks.has(peer)).length > members.length / 2
    if ([...this.#councils].some(isEnough)) return
    const where = [...disks].join(', ') || 'nobody'
    throw new Violation('durable-before-ack', `${from} answers ${id}, which is on the disks of ${where}`)
  }

  #proposed(members: readonly PeerId[]): void {
    this.#lists.set(members.join(), members)
    this.#world.checkers.durable.proposed(members)
  }

  /** All nodes had heard of each other before the first council: so there is one of each number. */
  #believed({ mesh, number, members }: Council): void {
    this.#proposed(members)
    const text = `${mesh} ${members.join()}`
    const other = this.#decided.get(number)
    if (other !== undefined && other !== text)
      throw new Violation('one-commit', `council ${number} is ${other} and ${text}`)
    this.#decided.set(number, text)
    if (other === undefined) this.#councils.add(members)
  }
}
