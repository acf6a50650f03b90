/**
 * Several sources of inputs, read side by side: each task gets one of each, and the shortest source ends it.
 *
 * Not here: pulling no faster than results are taken out (feed.ts).
 * As Python's zip: who ends first is found out after those before it gave one more, and that is lost. Sources that have not
 * ended are told that no more of them is wanted.
 */
import { ShoalError } from '../errors.ts'
import { shown } from './checks.ts'
import { type Inputs, mayBeEndless } from './feed.ts'

export interface Rows {
  /** What each task gets: one input, or all its arguments. */
  readonly inputs: Inputs
  /** No source is surely bounded. */
  readonly mayBeEndless: boolean
}

/** Throws SHOAL_BAD_OPTION if these are no iterables. */
export function zipped(sources: unknown): Rows {
  const some = Array.isArray(sources) ? (sources as unknown[]) : [undefined]
  if (!some.every(isIterable))
    throw new ShoalError(
      'SHOAL_BAD_OPTION',
      '`zip` takes a list of iterables: map(fn, [a, b], { zip: true })'
    )
  const isAsync = some.some((source) => Symbol.asyncIterator in source)
  return { inputs: isAsync ? rowsLater(some) : rows(some), mayBeEndless: some.every(mayBeEndless) }
}

/** Throws SHOAL_BAD_VALUE if these are no inputs. The characters of a text are inputs, as for every iterable. */
export function plainInputs(given: unknown): Rows {
  const inputs: unknown = typeof given === 'string' ? [...given] : given
  if (!isIterable(inputs))
    throw new ShoalError(
      'SHOAL_BAD_VALUE',
      `inputs are ${shown(given)}; they are a list, or something else that can be iterated: map(fn, [1, 2])`
    )
  return { inputs, mayBeEndless: mayBeEndless(inputs) }
}

const isIterable = (one: unknown): one is Inputs =>
  typeof one === 'object' && one !== null && (Symbol.iterator in one || Symbol.asyncIterator in one)

type Source = Iterator<unknown> | AsyncIterator<unknown>

const iteratorOf = (source: Inputs): Source =>
  Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()

function* rows(sources: readonly Inputs[]): Generator<unknown[], void, undefined> {
  const all = sources.map((source) => iteratorOf(source) as Iterator<unknown>)
  const isOpen = all.map(() => true)
  try {
    while (all.length > 0) {
      const row: unknown[] = []
      for (const [at, source] of all.entries()) {
        // One that throws is not told that it is over, as everywhere.
        isOpen[at] = false
        const step = source.next()
        if (step.done) return
        isOpen[at] = true
        row.push(step.value)
      }
      yield row
    }
  } finally {
    for (const [at, source] of all.entries()) if (isOpen[at]) source.return?.()
  }
}

/** Asks all at once, so that a row takes as long as its slowest. */
async function* rowsLater(sources: readonly Inputs[]): AsyncGenerator<unknown[], void, undefined> {
  const all = sources.map(iteratorOf)
  let isOpen = all.map(() => true)
  try {
    while (all.length > 0) {
      const steps = await Promise.allSettled(all.map(async (source) => source.next()))
      isOpen = steps.map((step) => step.status === 'fulfilled' && !step.value.done)
      const row = steps.map((step) => {
        if (step.status === 'rejected') throw step.reason
        return step.value.value as unknown
      })
      if (isOpen.includes(false)) return
      yield row
    }
  } finally {
    for (const [at, source] of all.entries()) if (isOpen[at]) await source.return?.()
  }
}

/** All at once. Of a source that is not asynchronous, before this returns. */
export function collected(inputs: Inputs): unknown[] | Promise<unknown[]> {
  return typeof inputs === 'object' && Symbol.asyncIterator in inputs ? Array.fromAsync(inputs) : [...inputs]
}
