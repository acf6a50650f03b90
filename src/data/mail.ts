/**
 * Messages of one look at data: ids that go to one node for the same reason go together.
 *
 * Not here: who is asked for what (guard.ts), and the sending, which is the shell's. A bag sorted by address: one letter for
 * each, and another one when it is full.
 */
import type { DataId, PeerId } from '../ids.ts'
import { type DataEffect, sendData } from './effects.ts'
import { type DataMessageOf, idsMax } from './messages.ts'

export type Hold = Omit<DataMessageOf<'hold'>, 'ids'>

export class Mail {
  readonly #holds = new Map<string, { to: PeerId; hold: Hold; ids: DataId[] }>()
  readonly #unholds = new Map<string, { to: PeerId; isOver: boolean; ids: DataId[] }>()

  hold(to: PeerId, hold: Hold, id: DataId): void {
    const { isNamed, pinMs, bridgeMs, copies, isNew, put, at } = hold
    const name = `${to} ${isNamed} ${pinMs} ${bridgeMs} ${copies} ${isNew} ${put} ${at}`
    const letter = this.#holds.get(name) ?? { to, hold, ids: [] }
    this.#holds.set(name, letter)
    letter.ids.push(id)
  }

  unhold(to: PeerId, isOver: boolean, id: DataId): void {
    const name = `${to} ${isOver}`
    const letter = this.#unholds.get(name) ?? { to, isOver, ids: [] }
    this.#unholds.set(name, letter)
    letter.ids.push(id)
  }

  sends(): DataEffect[] {
    const holds = [...this.#holds.values()].flatMap(({ to, hold, ids }) =>
      inParts(ids).map((part) => sendData(to, { ...hold, ids: part }))
    )
    const unholds = [...this.#unholds.values()].flatMap(({ to, isOver, ids }) =>
      inParts(ids).map((part) => sendData(to, { kind: 'unhold', isOver, ids: part }))
    )
    return [...holds, ...unholds]
  }
}

function inParts(ids: readonly DataId[]): DataId[][] {
  const parts: DataId[][] = []
  for (let at = 0; at < ids.length; at += idsMax) parts.push(ids.slice(at, at + idsMax))
  return parts
}
