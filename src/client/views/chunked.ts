/**
 * Several inputs as one task: the function that goes through them, and the inputs by so many.
 *
 * Not here: tasks that are granted together by their measured durations, which needs nobody to choose (tasks/round.ts).
 */
import { isBindable } from '../captures.ts'
import type { Inputs } from '../feed.ts'
import {
  type Each,
  eachText,
  isModuleFunction,
  type ModuleFunction,
  type PlainFunction
} from '../functions.ts'
import type { Rows } from '../zip.ts'

/** A function that gives what the other one gives for each of a list. It is never called here: its text travels. */
export function eachOf(
  fn: PlainFunction | ModuleFunction,
  each: Each,
  scope: Readonly<Record<string, unknown>> = {}
): PlainFunction | ModuleFunction {
  if (isModuleFunction(fn)) return Object.freeze({ ...fn, each })
  if (typeof fn !== 'function') return fn
  const source = fn.toString()
  // Bound to its name here as well, so that it may call itself.
  const isNamed = isBindable(fn.name) && !Object.hasOwn(scope, fn.name)
  const one = isNamed ? `(() => { const ${fn.name} = ${source}\nreturn ${fn.name} })()` : `(${source})`
  const text = eachText(one, each)
  return Object.defineProperties(() => {}, {
    name: { value: fn.name },
    toString: { value: () => text }
  })
}

/** By so many, in order; the last may have fewer. What may have no end is pulled, and only then. */
export function inChunks({ inputs, mayBeEndless }: Rows, size: number): Inputs {
  if (mayBeEndless || Symbol.asyncIterator in inputs) return pulled(inputs, size)
  const all = [...inputs]
  return Array.from({ length: Math.ceil(all.length / size) }, (_, n) => all.slice(n * size, (n + 1) * size))
}

async function* pulled(inputs: Inputs, size: number): AsyncGenerator<unknown[], void, undefined> {
  let chunk: unknown[] = []
  for await (const input of inputs) {
    chunk.push(input)
    if (chunk.length < size) continue
    yield chunk
    chunk = []
  }
  if (chunk.length > 0) yield chunk
}
