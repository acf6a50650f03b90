/**
 * A queue that all of a mesh share: first in, first out, each item for one of those who take.
 *
 * Not here: how nodes agree on it (cells/), and limits to waiting (client/cells.ts). It hands over items of work, and names of
 * data; data itself goes another way. An item that was taken is gone: who dies with it has had it.
 */
import { queueItemsMax } from '../../cells/commands.ts'
import type { ClientCells } from '../cells.ts'
import { onlyKnown, whole } from '../checks.ts'
import {
  badOption,
  type CallOptions,
  cellName,
  itemOf,
  patience,
  read,
  timedOut,
  unreadable,
  type WaitingOptions
} from './options.ts'

/** Among commands: as many as it holds without a word. */
const unsaid = 0

export interface QueueOptions {
  /**
   * Items that it holds at most; who puts more waits. The first who puts something decides, and others must say the same or nothing.
   * Default: 10,000. In any case it is full with 256 KiB.
   */
  readonly maxSize?: number
}

export class MeshQueue<T = unknown> {
  readonly name: string
  readonly #cell: string
  readonly #size: number
  readonly #cells: ClientCells

  constructor(cells: ClientCells, name: string, options: QueueOptions = {}) {
    onlyKnown(options, ['maxSize'])
    const { maxSize } = options
    this.#cell = cellName('queue', name)
    if (maxSize !== undefined) whole('maxSize', maxSize, 1, queueItemsMax)
    this.#size = maxSize ?? unsaid
    this.#cells = cells
    this.name = name
  }

  /** Puts an item of at most 64 KiB at its end; waits while it is full. */
  async put(item: T, options: WaitingOptions = {}): Promise<void> {
    const limits = patience(options)
    const value = itemOf(item, this.#cell)
    const isPatient = limits.timeout !== 0
    const { answer } = await this.#cells.call(
      this.#cell,
      { kind: 'put', value, size: this.#size, isPatient },
      limits
    )
    if (answer.kind === 'done') return
    if (answer.kind !== 'refused') throw unreadable(this.#cell)
    if (answer.because === 'other size')
      throw badOption(`${this.#cell} was made with another \`maxSize\` than ${this.#size}`)
    throw timedOut(`${this.#cell} is full`)
  }

  /** Takes the first item; waits while there is none. Who waits longest gets the next one, as a rule. */
  async get(options: WaitingOptions = {}): Promise<T> {
    const limits = patience(options)
    const take = { kind: 'take', isPatient: limits.timeout !== 0 } as const
    const { answer } = await this.#cells.call(this.#cell, take, limits)
    if (answer.kind === 'refused') throw timedOut(`${this.#cell} is empty`)
    const bytes = answer.kind === 'value' ? answer.value[0] : undefined
    if (bytes === undefined) throw unreadable(this.#cell)
    return read<T>(bytes)
  }

  /** Items in it now. */
  async size({ signal }: CallOptions = {}): Promise<number> {
    const { answer } = await this.#cells.call(this.#cell, { kind: 'read' }, { signal })
    if (answer.kind !== 'count') throw unreadable(this.#cell)
    return answer.count
  }
}
