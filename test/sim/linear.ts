/**
 * Whether a history of commands that overlapped can have happened one after another, each at some moment between its call and
 * its answer: linearizability (Herlihy and Wing, 1990), decided by search (Wing and Gong, 1993; Lowe, 2017).
 *
 * Not here: what the commands do; an act is a function from state to state. One without an answer may have happened at any time after it was called,
 * or never.
 */
export interface Deed {
  readonly calledAt: number
  /** Infinite if it was never answered. */
  answeredAt: number
  /** The state after it, or `undefined` if what was answered cannot have been answered in this state. */
  step: (state: string) => string | undefined
  readonly text: string
}

/** States looked at, beyond which the search says nothing. */
const looksMax = 20_000

export type Judgement = 'linear' | 'not linear' | 'too many ways'

/** `initial` is the state before all. */
export function judge(history: readonly Deed[], initial: string): Judgement {
  const deeds = history.toSorted((a, b) => a.calledAt - b.calledAt)
  const open = deeds.filter(({ answeredAt }) => answeredAt < Number.POSITIVE_INFINITY).length
  const isDone = new Array<boolean>(deeds.length).fill(false)
  const seen = new Set<string>()
  let looks = 0

  /** `from`: everything before is done or never was answered. */
  const search = (state: string, left: number): boolean => {
    if (left === 0) return true
    if (++looks > looksMax) return false
    const mark = `${state}|${isDone.map(Number).join('')}`
    if (seen.has(mark)) return false
    seen.add(mark)
    let firstAnswer = Number.POSITIVE_INFINITY
    for (const [at, { answeredAt }] of deeds.entries())
      if (!isDone[at]) firstAnswer = Math.min(firstAnswer, answeredAt)
    const now: number[] = []
    for (const [at, deed] of deeds.entries()) {
      if (deed.calledAt > firstAnswer) break
      if (!isDone[at]) now.push(at)
    }
    const next = now
      .map((at) => ({ at, after: deeds[at]?.step(state) }))
      .filter(({ after }) => after !== undefined)
    const isAnswered = (at: number): boolean => (deeds[at]?.answeredAt ?? 0) < Number.POSITIVE_INFINITY
    // What changes nothing can always come first.
    const idle = next.find(({ at, after }) => after === state && isAnswered(at))
    const ways =
      idle === undefined
        ? next.toSorted((a, b) => Number(isAnswered(b.at)) - Number(isAnswered(a.at)))
        : [idle]
    for (const { at, after } of ways) {
      if (after === state && !isAnswered(at)) continue
      isDone[at] = true
      if (search(after as string, left - Number(isAnswered(at)))) return true
      isDone[at] = false
    }
    return false
  }

  if (search(initial, open)) return 'linear'
  return looks > looksMax ? 'too many ways' : 'not linear'
}
