/**
 * What clients called and were told of cells, and what that may have been.
 *
 * Not here: the search for an order (linear.ts), and the clients (cells.ts).
 * It knows nothing of versions, members or ballots: a variable is a value, a lock is who has it.
 */
import { Violation } from './checkers.ts'
import { type Deed, judge } from './linear.ts'

const never = Number.POSITIVE_INFINITY

/** A command, and whose lease it may have begun without anybody hearing of it. */
interface Told extends Deed {
  text: string
  readonly mayBegin?: string
}

interface Holding {
  readonly cell: string
  readonly lease: string
}

export class History {
  readonly #now: () => number
  readonly #deeds = new Map<string, Told[]>()
  readonly #tokens = new Map<string, Map<number, string>>()
  readonly #grants: { cell: string; token: number; calledAt: number; answeredAt: number }[] = []
  readonly #holding = new Map<string, Holding>()
  readonly #put = new Map<string, { item: string; isKnown: boolean }[]>()
  readonly #taken = new Map<string, Map<string, number>>()
  readonly #unknownTakes = new Map<string, number>()
  /** Histories that were judged, and those with too many ways to judge. */
  judged = 0
  undecided = 0

  constructor(now: () => number) {
    this.#now = now
  }

  reads(cell: string): (value: string) => void {
    const deed = this.#add(cell, () => undefined, 'read')
    return (value) => this.#answer(deed, (state) => (state === value ? state : undefined), `read ${value}`)
  }

  /** `instead`: only if this is the value. */
  sets(cell: string, value: string, instead: string | undefined): (isDone: boolean) => void {
    const set = (state: string): string | undefined =>
      instead === undefined || state === instead ? value : undefined
    const deed = this.#add(cell, set, `set ${value} for ${instead ?? 'anything'}`)
    return (isDone) => {
      const failed = (state: string): string | undefined => (state === instead ? undefined : state)
      this.#answer(deed, isDone ? set : failed, `${deed.text}: ${isDone}`)
    }
  }

  acquires(cell: string, lease: string): (token: number | undefined) => void {
    const take = (state: string): string | undefined => (state === '' ? lease : undefined)
    const deed = this.#add(cell, take, `acquire ${lease}`, lease)
    return (token) => {
      const { calledAt } = deed
      this.#answer(
        deed,
        token === undefined ? (state) => (state === '' ? undefined : state) : take,
        `${deed.text}: ${token}`
      )
      if (token !== undefined) this.#granted(cell, lease, token, calledAt)
    }
  }

  releases(cell: string, lease: string): (isDone: boolean) => void {
    const free = (state: string): string | undefined => (state === lease ? '' : undefined)
    const deed = this.#add(cell, free, `release ${lease}`)
    return (isDone) =>
      this.#answer(
        deed,
        isDone ? free : (state) => (state === lease ? undefined : state),
        `${deed.text}: ${isDone}`
      )
  }

  /** From now on this client believes that it holds it. */
  holds(cell: string, lease: string, most: number): void {
    this.#holding.set(lease, { cell, lease })
    const holders = [...this.#holding.values()].filter((one) => one.cell === cell)
    if (holders.length > most)
      throw new Violation('exclusive', `${cell} is held by ${holders.map((one) => one.lease).join(' and ')}`)
  }

  /** It does not believe so any more. Its lease may end from now on, whatever comes of a release. */
  letsGo(_: string, lease: string): void {
    const holding = this.#holding.get(lease)
    this.#holding.delete(lease)
    if (holding === undefined) return
    this.#deeds.get(holding.cell)?.push(ending(lease, this.#now()))
  }

  puts(cell: string, item: string): (isDone: boolean) => void {
    const one = { item, isKnown: false }
    const all = this.#put.get(cell) ?? []
    this.#put.set(cell, [...all, one])
    return (isDone) => {
      one.isKnown = isDone
      if (!isDone)
        this.#put.set(
          cell,
          (this.#put.get(cell) ?? []).filter((other) => other !== one)
        )
    }
  }

  takes(cell: string): (item: string | undefined) => void {
    this.#unknownTakes.set(cell, (this.#unknownTakes.get(cell) ?? 0) + 1)
    return (item) => {
      this.#unknownTakes.set(cell, (this.#unknownTakes.get(cell) ?? 0) - 1)
      if (item === undefined) return
      const taken = this.#taken.get(cell) ?? new Map<string, number>()
      this.#taken.set(cell, taken)
      if (taken.has(item)) throw new Violation('delivered-once', `${item} of ${cell} was taken twice`)
      if (!(this.#put.get(cell) ?? []).some((one) => one.item === item))
        throw new Violation('no-unexpected', `${item} was taken from ${cell}, and nobody put it`)
      taken.set(item, this.#now())
    }
  }

  /** All that was put was taken, unless it was given to who did not hear of it. */
  #isEmpty(cell: string): void {
    const taken = this.#taken.get(cell)
    const missing = (this.#put.get(cell) ?? []).filter(
      ({ item, isKnown }) => isKnown && taken?.has(item) !== true
    )
    const most = this.#unknownTakes.get(cell) ?? 0
    if (missing.length > most)
      throw new Violation('no-lost', `${cell} lost ${missing.map(({ item }) => item).join(', ')}`)
  }

  /** Throws unless everything can have happened one after another. */
  check(): void {
    for (const cell of this.#put.keys()) this.#isEmpty(cell)
    for (const [cell, deeds] of this.#deeds) {
      if (cell.startsWith('semaphore:')) continue
      this.judged++
      // Who was never told that it has it lets it end.
      const ends = deeds.flatMap(({ calledAt, answeredAt, mayBegin }): Told[] =>
        mayBegin === undefined || answeredAt < never ? [] : [ending(mayBegin, calledAt)]
      )
      const judgement = judge([...deeds, ...ends], '')
      if (judgement === 'too many ways') this.undecided++
      if (judgement !== 'not linear') continue
      const story = deeds.map(
        ({ calledAt, answeredAt, text }) => `  ${calledAt.toFixed(1)} to ${answeredAt.toFixed(1)}: ${text}`
      )
      throw new Violation('linear', `${cell} is not linearizable:\n${story.join('\n')}`)
    }
  }

  #granted(cell: string, lease: string, token: number, calledAt: number): void {
    const tokens = this.#tokens.get(cell) ?? new Map<number, string>()
    this.#tokens.set(cell, tokens)
    const other = tokens.get(token)
    if (other !== undefined && other !== lease)
      throw new Violation('exclusive', `${cell} gave token ${token} to ${other} and to ${lease}`)
    tokens.set(token, lease)
    const late = this.#grants.find(
      (one) => one.cell === cell && one.answeredAt < calledAt && one.token >= token
    )
    if (late !== undefined)
      throw new Violation('exclusive', `${cell} gave token ${token} to ${lease} after token ${late.token}`)
    this.#grants.push({ cell, token, calledAt, answeredAt: this.#now() })
  }

  #add(cell: string, step: Deed['step'], text: string, mayBegin?: string): Told {
    const deed: Told = {
      calledAt: this.#now(),
      answeredAt: never,
      step,
      text,
      ...(mayBegin === undefined ? {} : { mayBegin })
    }
    const deeds = this.#deeds.get(cell) ?? []
    deeds.push(deed)
    this.#deeds.set(cell, deeds)
    return deed
  }

  #answer(deed: Told, step: Deed['step'], text: string): void {
    deed.answeredAt = this.#now()
    deed.step = step
    deed.text = text
  }
}

const ending = (lease: string, calledAt: number): Told => ({
  calledAt,
  answeredAt: never,
  step: (state) => (state === lease ? '' : undefined),
  text: `the lease of ${lease} ends`
})
