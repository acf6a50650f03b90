/**
 * A variable that all of a mesh share, and an event that they wait for.
 *
 * Not here: how nodes agree on them (cells/), and limits to waiting (client/cells.ts).
 */
import type { CellSort } from '../../cells/commands.ts'
import type { ClientCells } from '../cells.ts'
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

/** A value and how many changes there were up to it, or no value. */
export interface Versioned<T> {
  readonly isSet: boolean
  readonly value: T | undefined
  /** Grows with each change, by 1 or more. */
  readonly version: number
}

/**
 * One value for all who know its name: what was set last, whoever reads it wherever. It outlives whoever set it. Values are
 * what tasks give and take, of at most 64 KiB.
 * Calls reject with SHOAL_NO_QUORUM if too few of the nodes that keep it answer for 12 s, and with SHOAL_UNDECIDED, SHOAL_BUSY,
 * SHOAL_NO_MESH or SHOAL_CLOSED.
 */
export class MeshVariable<T = unknown> {
  readonly name: string
  readonly #cell: string
  readonly #cells: ClientCells

  /** `sort`: what it is called in errors; of another sort it is another variable. */
  constructor(cells: ClientCells, name: string, sort: CellSort = 'variable') {
    this.#cell = cellName(sort, name)
    this.#cells = cells
    this.name = name
  }

  /** The value; waits until there is one. */
  async get(options: WaitingOptions = {}): Promise<T> {
    return (await this.#wait(0, options)).value as T
  }

  /** What is there now, without waiting. */
  async read({ signal }: CallOptions = {}): Promise<Versioned<T>> {
    const { answer, version } = await this.#cells.call(this.#cell, { kind: 'read' }, { signal })
    if (answer.kind !== 'value') throw unreadable(this.#cell)
    const [bytes] = answer.value
    return { isSet: bytes !== undefined, value: bytes === undefined ? undefined : read<T>(bytes), version }
  }

  /** Waits for a value that is newer than `version`, and gives the newest. Values in between may be missed. */
  async newer(version: number, options: WaitingOptions = {}): Promise<Versioned<T>> {
    check(version)
    return await this.#wait(version, options)
  }

  async set(value: T, options: CallOptions = {}): Promise<void> {
    await this.#set([itemOf(value, this.#cell)], [], options)
  }

  /** Sets it if nothing was changed since that version; false if something was. `read()` gives a version. */
  async setIf(version: number, value: T, options: CallOptions = {}): Promise<boolean> {
    check(version)
    return await this.#set([itemOf(value, this.#cell)], [version], options)
  }

  /**
   * Puts in place of the value what `change` makes of it, as if nobody else came in between: `change` gets `undefined` if there is
   * none, and is called again with the newer value if somebody else was faster. Gives the new value.
   */
  async update(change: (value: T | undefined) => T | Promise<T>, options: CallOptions = {}): Promise<T> {
    for (;;) {
      const { value, version } = await this.read(options)
      const next = await change(value)
      if (await this.setIf(version, next, options)) return next
    }
  }

  /** As if it had never been set. */
  async clear(options: CallOptions = {}): Promise<void> {
    await this.#set([], [], options)
  }

  async #wait(since: number, options: WaitingOptions): Promise<Versioned<T>> {
    const limits = patience(options)
    if (limits.timeout === 0) {
      const found = await this.read(options)
      if (!found.isSet || found.version <= since) throw timedOut(`${this.#cell} has no newer value`)
      return found
    }
    const { answer, version } = await this.#cells.call(this.#cell, { kind: 'wait', since }, limits)
    const bytes = answer.kind === 'value' ? answer.value[0] : undefined
    if (bytes === undefined) throw unreadable(this.#cell)
    return { isSet: true, value: read<T>(bytes), version }
  }

  async #set(
    value: readonly Uint8Array[],
    unless: readonly number[],
    { signal }: CallOptions
  ): Promise<boolean> {
    const command = { kind: 'set', value, unless } as const
    const { answer } = await this.#cells.call(this.#cell, command, { signal })
    if (answer.kind !== 'done' && answer.kind !== 'refused') throw unreadable(this.#cell)
    return answer.kind === 'done'
  }
}

function check(version: number): void {
  if (!Number.isSafeInteger(version) || version < 0)
    throw badOption(`\`version\` is ${String(version)}; give one that read() or newer() gave`)
}

/** Something that has happened, or not: whoever waits for it goes on once it is set. */
export class MeshEvent {
  readonly name: string
  readonly #cell: string
  readonly #cells: ClientCells

  constructor(cells: ClientCells, name: string) {
    this.#cell = cellName('event', name)
    this.#cells = cells
    this.name = name
  }

  /** Waits until it is set; goes on at once if it is. If it is cleared again soon, who waits may miss that it was set. */
  async wait(options: WaitingOptions = {}): Promise<void> {
    const limits = patience(options)
    if (limits.timeout !== 0) await this.#cells.call(this.#cell, { kind: 'wait', since: 0 }, limits)
    else if (!(await this.isSet(options))) throw timedOut(`${this.#cell} is not set`)
  }

  async isSet({ signal }: CallOptions = {}): Promise<boolean> {
    const { answer } = await this.#cells.call(this.#cell, { kind: 'read' }, { signal })
    if (answer.kind !== 'count') throw unreadable(this.#cell)
    return answer.count > 0
  }

  async set({ signal }: CallOptions = {}): Promise<void> {
    await this.#cells.call(this.#cell, { kind: 'raise', isSet: true }, { signal })
  }

  async clear({ signal }: CallOptions = {}): Promise<void> {
    await this.#cells.call(this.#cell, { kind: 'raise', isSet: false }, { signal })
  }
}
