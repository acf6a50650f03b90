/**
 * Who has each slot of a pool: one who is at work there, and under it those who gave it away and wait.
 *
 * Not here: engines (pool.ts), and who may begin in a slot that was given away (fitting.ts).
 * A slot is a stack of chairs: whoever gives it away stays below, and who sits on top gets up when the work is done. A few idle
 * chairs are kept for those who need one next, since engines take their time to start.
 */

/** Idle ones that are kept for each slot; of more, the engines are ended. */
export const sparesMax = 4

export interface Seated {
  /** Of the slot. */
  readonly index: number
  readonly runs: readonly unknown[]
  /** It gave its slot away. */
  isParked: boolean
  /** It wants it back. */
  isWanting: boolean
}

export class Parking<S extends Seated> {
  readonly #top: S[]
  readonly #below: S[][]
  readonly #spares: S[][]
  readonly #make: (index: number) => S

  constructor(slots: number, make: (index: number) => S) {
    this.#make = make
    this.#top = Array.from({ length: slots }, (_, index) => make(index))
    this.#below = Array.from({ length: slots }, () => [])
    this.#spares = Array.from({ length: slots }, () => [])
  }

  *[Symbol.iterator](): Generator<S> {
    yield* this.#top
    for (const below of this.#below) yield* below
    for (const spares of this.#spares) yield* spares
  }

  /** Who is to do what comes to this slot: who works there, or else is about to get it back. */
  at(index: number): S | undefined {
    return this.#below[index]?.findLast(({ isWanting }) => isWanting) ?? this.#top[index]
  }

  /** Who works there. */
  top(index: number): S {
    return this.#top[index] as S
  }

  park(one: S): void {
    const { index } = one
    one.isParked = true
    this.#below[index]?.push(one)
    this.#top[index] = this.#spares[index]?.pop() ?? this.#make(index)
  }

  /** Who gets the slot back, if somebody wants it and nobody works there; with whom nobody needs any more. */
  next(index: number): { next: S; left: S | undefined } | undefined {
    const below = this.#below[index] ?? []
    const next = below.findLast(({ isWanting }) => isWanting)
    const top = this.#top[index] as S
    if (next === undefined || top.runs.length > 0) return undefined
    below.splice(below.indexOf(next), 1)
    next.isParked = next.isWanting = false
    this.#top[index] = next
    const spares = this.#spares[index] ?? []
    const isKept = spares.length < sparesMax
    if (isKept) spares.push(top)
    return { next, left: isKept ? undefined : top }
  }

  /** Its engine has ended. True if it had given its slot away, or was kept for others: then nobody has to replace it. */
  drop(one: S): boolean {
    const { index } = one
    one.isParked = one.isWanting = false
    for (const some of [this.#below[index] ?? [], this.#spares[index] ?? []]) {
      const at = some.indexOf(one)
      if (at < 0) continue
      some.splice(at, 1)
      return true
    }
    return false
  }
}
