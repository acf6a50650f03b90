/**
 * What nodes say to each other about cells and the council that keeps them, with the limit of every field.
 *
 * Not here: what a cell's bytes mean (commands.ts), and what is done about any of it (acceptor.ts, proposer.ts, chair.ts).
 * `mesh` and `number` name the list of members in which something is said; list 0 of no mesh is the one that founds the first.
 */
import { isPeerId } from '../ids.ts'
import { added, bytes, flag, list, type MessageOf, type Of, record, text, uint } from '../wire.ts'

/** Members of a council, at most. */
export const councilMax = 5
/** Nodes that found one. */
const electorsMax = 2_048
/** A cell with everything that is remembered of it. */
export const stateBytesMax = 512 << 10
/** Of one command or its answer. */
export const commandBytesMax = 80 << 10
/** Cells in one message, and about how many bytes of them. */
export const pageCellsMax = 1_024
export const pageBytesMax = 1 << 20

const peer = text(128, isPeerId)
const mesh = text(256)
/** Kind and name: `lock:printer`. Empty: what the next list is. */
const name = text(160)
const id = text(64)

/** Ordered by its fields, first to last; `by` has no other one of the same `boot` and `round`. */
export const ballot = record({ list: uint(), round: uint(), boot: uint(), by: text(128) })
export type Ballot = Of<typeof ballot>

/** Who keeps all cells. `before`: members of the list before, which may still have what those of this one need. */
export const council = record({
  mesh,
  number: uint(),
  members: list(peer, councilMax),
  before: list(peer, councilMax)
})
export type Council = Of<typeof council>

const state = bytes(stateBytesMax)
const accepted = record({ ballot, state })
export type AcceptedState = Of<typeof accepted>
const cell = record({ name, ballot, state })
export type PagedCell = Of<typeof cell>

const where = { mesh, number: uint(), name }

export const cellKinds = {
  /** The newest list that the sender knows. */
  council: { council },
  /** The sender is seated: it has all cells, and votes. */
  'cell-seated': { mesh, number: uint() },
  /** `electors`: all whose consent is asked for, if this founds the first council. */
  'cell-prepare': { ...where, ballot, electors: added(list(peer, electorsMax), []) },
  'cell-promised': { ...where, ballot, accepted: list(accepted, 1) },
  /** Of this ballot, because of that promise. */
  'cell-rejected': { ...where, ballot, promised: ballot },
  /** With it goes the promise of the next round of the same proposer. */
  'cell-accept': { ...where, ballot, state },
  'cell-accepted': { ...where, ballot },
  /** Has nobody else been here since this ballot? */
  'cell-check': { ...where, ballot, serial: uint() },
  'cell-checked': { ...where, ballot, serial: uint() },
  /** What was accepted of all cells before this list; who answers has sealed its own list before it. */
  'cell-pull': { mesh, number: uint(), after: name },
  'cell-page': {
    mesh,
    number: uint(),
    after: name,
    isSeated: flag,
    isLast: flag,
    cells: list(cell, pageCellsMax)
  },
  /** From an entry to a member: `base` is a version that the cell had when the command was made. */
  'cell-ask': { mesh, number: uint(), name, id, base: uint(), command: bytes(commandBytesMax) },
  'cell-withdraw': { name, id },
  /** `waiting`: its turn has not come, and a majority was there a moment ago. `stale`: nobody can tell whether it was done. */
  'cell-answer': { id, word: text(16), version: uint(), answer: bytes(commandBytesMax) },
  // On disk only.
  /** What a member has promised and accepted. */
  'cell-kept': { ...where, promised: ballot, accepted: list(accepted, 1) },
  'council-kept': { council, isSeated: flag }
} as const

export type CellMessage = MessageOf<typeof cellKinds>
export type CellMessageOf<K extends CellMessage['kind']> = Extract<CellMessage, { kind: K }>
/** What is written to a disk. */
export type CellRecord = CellMessageOf<'cell-kept' | 'council-kept'>

export const isAboutCell = (message: { readonly kind: string }): message is CellMessage =>
  Object.hasOwn(cellKinds, message.kind)
export const isCellRecord = (message: { readonly kind: string }): message is CellRecord =>
  message.kind === 'cell-kept' || message.kind === 'council-kept'

/** Below every other one. */
export const noBallot: Ballot = { list: 0, round: 0, boot: 0, by: '' }

export function compareBallots(a: Ballot, b: Ballot): number {
  const order = a.list - b.list || a.round - b.round || a.boot - b.boot
  return order !== 0 ? order : a.by < b.by ? -1 : a.by > b.by ? 1 : 0
}

/** What is promised along with accepting a ballot. */
export const nextBallot = (one: Ballot): Ballot => ({ ...one, round: one.round + 1 })
