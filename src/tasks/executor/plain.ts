/**
 * Plain functions as they travel, and as an engine takes them in.
 *
 * Not here: which may travel (client/functions.ts), and modules that people wrote (worker.ts).
 * What travels is a module, but a module stays for as long as its engine: of functions that differ in a captured value only, a
 * loop would leave one for each. So an engine evaluates the text by itself, once for all that differ in their values only, and
 * lets go of what nobody called for long.
 */
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { deserialize } from 'node:v8'
import { Recent } from './recent.ts'

/** The export of such a module. */
export const plainExport = '$shoalPlain'
/** Functions that an engine keeps, and bytes of them all; the last one is kept in any case. */
const keptMax = 256
const keptBytesMax = 16 * 1024 * 1024

const begin = `\nexport const ${plainExport} = $shoalMake(`
const end = ')\n'

export type UserFunction = (...args: unknown[]) => unknown
type Make = (values?: unknown) => UserFunction

const builtin = (name: string): string => `process.getBuiltinModule('node:${name}')`
const before = `${builtin('v8')}.deserialize(${builtin('buffer')}.Buffer.from('`
const after = `', 'base64'))`

/** `body`: statements that return the function. They see `values`, in base64 as V8 writes them, by the pattern `names`. */
export function plainText(body: string, names = '', values = ''): string {
  const given = values === '' ? '' : `${before}${values}${after}`
  return `const $shoalMake = (${names}) => {\n${body}}${begin}${given}${end}`
}

const functions = new Recent<UserFunction>(keptMax, keptBytesMax)
/** By what the functions say before their values. */
const makers = new Recent<Make>(keptMax, keptBytesMax)

/** Undefined if only a module may say what it says. Throws what its text throws. */
export function loadPlain(file: string): UserFunction | undefined {
  const known = functions.use(file)
  if (known !== undefined) return known
  const bytes = readFileSync(file)
  const at = bytes.lastIndexOf(begin)
  const tail = bytes.toString('utf8', at + begin.length)
  const given = tail.slice(0, -end.length)
  const isOurs = at >= 0 && tail.endsWith(end) && (given === '' || isValues(given))
  // Apart from its values, which a part of the same string would hold on to.
  const make = isOurs ? makerOf(bytes.toString('utf8', 0, at), file) : undefined
  if (make === undefined) return undefined
  const values = given.slice(before.length, -after.length)
  const fn = given === '' ? make() : make(deserialize(Buffer.from(values, 'base64')))
  functions.add(file, fn, bytes.length)
  return fn
}

/** It is what that file says, as long as it is kept. */
export const isLoadedFrom = (file: string, fn: unknown): boolean => functions.peek(file) === fn

const isValues = (given: string): boolean => given.startsWith(before) && given.endsWith(after)

function makerOf(text: string, file: string): Make | undefined {
  const known = makers.use(text)
  if (known !== undefined) return known
  try {
    // Indirect, so that it sees nothing of this module; with a name for stacks.
    const code = `(() => { 'use strict'; ${text}\nreturn $shoalMake })()\n//# sourceURL=${pathToFileURL(file)}`
    const make = indirectly(code) as Make
    makers.add(text, make, text.length)
    return make
  } catch (error) {
    // As `import.meta` is.
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

// biome-ignore lint/security/noGlobalEval: it is what engines are for; `node:vm` imports by an experimental option only.
const indirectly: (code: string) => unknown = eval
