/**
 * Plain functions as they travel, and as an engine takes them in.
 *
 * Not here: which may travel (client/functions.ts), and modules that people wrote (worker.ts).
 * What travels is a module, but a module stays for as long as its engine: of functions that differ in a captured value only, a
 * loop would leave one for each. So an engine compiles the text by itself, and lets go of what nobody called for long.
 */
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

/** The export of such a module. */
export const plainExport = '$shoalPlain'
/** Functions that an engine keeps, and characters of them all; the last one is kept in any case. */
const keptMax = 256
const keptCharsMax = 16 * 1024 * 1024

const begin = `\nexport const ${plainExport} = `

export type UserFunction = (...args: unknown[]) => unknown

/** `body`: statements that return the function. They see what `given` evaluates to as `names`. */
export function plainText(body: string, names = '', given = ''): string {
  return `const $shoalMake = (${names}) => {\n${body}}${begin}$shoalMake(${given})\n`
}

interface Plain {
  readonly fn: UserFunction
  readonly chars: number
}

/** Those that were called last come last. */
const kept = new Map<string, Plain>()
let chars = 0

/** Undefined if only a module may say what it says. Throws what its text throws. */
export function loadPlain(file: string): UserFunction | undefined {
  const plain = take(file) ?? compile(file)
  if (plain === undefined) return undefined
  chars += plain.chars
  kept.set(file, plain)
  for (const oldest of kept.keys()) {
    const isTooMuch = kept.size > keptMax || chars > keptCharsMax
    if (!isTooMuch || oldest === file) break
    take(oldest)
  }
  return plain.fn
}

function take(file: string): Plain | undefined {
  const plain = kept.get(file)
  if (plain === undefined) return undefined
  kept.delete(file)
  chars -= plain.chars
  return plain
}

/** It is what that file says, as long as it is kept. */
export const isLoadedFrom = (file: string, fn: unknown): boolean => kept.get(file)?.fn === fn

function compile(file: string): Plain | undefined {
  const text = readFileSync(file, 'utf8')
  const at = text.lastIndexOf(begin)
  if (at < 0) return undefined
  const body = `${text.slice(0, at)}\nreturn ${text.slice(at + begin.length)}`
  try {
    // Indirect, so that it sees nothing of this module; with a name for stacks.
    const fn = indirectly(`(() => { 'use strict'; ${body}})()\n//# sourceURL=${pathToFileURL(file)}`)
    return { fn: fn as UserFunction, chars: text.length }
  } catch (error) {
    // As `import.meta` is.
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

// biome-ignore lint/security/noGlobalEval: it is what engines are for; `node:vm` imports by an experimental option only.
const indirectly: (code: string) => unknown = eval
