/**
 * An engine's own namespace: what `execute`, `push`, `pull` and `apply` of a view do, on the engine.
 *
 * Not here: which engines, the shape of the answer (view.ts), and `typeof` (typeof.ts). This module travels, so it imports
 * nothing but types. The names live as long as the engine does. Free names of statements and functions are looked for here
 * first, then among the globals; one that is assigned and declared nowhere comes to be here, as at a prompt.
 */
import type { Gap } from '../gaps.ts'

type Names = Record<string, unknown>
const key = Symbol.for('shoal.namespace')
const all = globalThis as unknown as Record<symbol, Names | undefined>
all[key] ??= Object.create(null) as Names
const names: Names = all[key]

const space = new Proxy(names, {
  has: (here, name) => typeof name === 'string' && (name in here || !(name in globalThis)),
  get: (here, name) => {
    if (typeof name === 'symbol') return undefined
    if (name in here) return here[name]
    throw new ReferenceError(`${name} is not defined on this engine`)
  }
})

/** `with` is what makes names of the namespace variables; sloppy functions alone may use it. */
function within(text: string): unknown {
  return new Function('$space', `with ($space) { return ${text}\n}`)(space)
}

/** Statements that statements.ts has prepared. */
export async function execute(prepared: string): Promise<unknown> {
  return await within(`(async () => {${prepared}\n})()`)
}

/** `gaps`: places in the arguments, and the names of the values that belong there. */
export async function apply(fn: string, args: unknown[], gaps: readonly Gap<string>[]): Promise<unknown> {
  const called = within(`(${fn})`) as (...args: unknown[]) => unknown
  for (const { path, special } of gaps) {
    let around = args as unknown as Names
    for (const step of path.slice(0, -1)) around = around[step] as Names
    around[path.at(-1) as string | number] = space[special]
  }
  return await called(...args)
}

/** One chunk of a map; `isZipped`: each input is a list of arguments. */
export async function applyEach(
  fn: string,
  inputs: readonly unknown[],
  isZipped: boolean
): Promise<unknown[]> {
  const called = within(`(${fn})`) as (...args: unknown[]) => unknown
  const results: unknown[] = []
  for (const input of inputs) {
    const given = await called(...(isZipped ? (input as unknown[]) : [input]))
    results.push(isGenerator(given) ? await Array.fromAsync(given) : given)
  }
  return results
}

/** A lone one the engine reads itself (worker.ts); it does not look into lists. */
function isGenerator(value: unknown): value is Generator | AsyncGenerator {
  return /^\[object (Async)?Generator\]$/.test(Object.prototype.toString.call(value))
}

export function push(values: Names): void {
  Object.assign(names, values)
}

export function pull(wanted: readonly string[]): unknown[] {
  return wanted.map((name) => space[name])
}

export function clear(): void {
  for (const name of Object.keys(names)) delete names[name]
}
