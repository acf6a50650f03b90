/**
 * Plain functions as they travel, and as an engine takes them in.
 *
 * Not here: which may travel (client/functions.ts), and modules that people wrote (worker.ts).
 * What travels is a module, but a module stays for as long as its engine: of functions that differ in a captured value only, a
 * loop would leave one for each. So an engine evaluates the text by itself, once for all that differ in their values only, and
 * lets go of what nobody called for long.
 */
import { Buffer } from 'node:buffer'
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { readV8 } from './codec.ts'
import { Recent } from './recent.ts'

/** The export of such a module. */
export const plainExport = '$shoalPlain'
/** Functions that an engine keeps, and bytes of them all; the last one is kept in any case. */
const keptMax = 256
const keptBytesMax = 16 * 1024 * 1024

const begin = `\nexport const ${plainExport} = $shoalMake(`
// Imported, as user code may replace globals by fakes.
const end = `)
import { deserialize as $shoalRead } from 'node:v8'
import { Buffer as $shoalBytes } from 'node:buffer'
`
const before = `$shoalRead($shoalBytes.from('`
const after = `', 'base64'))`

/** A statement for the body of what only a module may say, or says otherwise. */
export const needsModule = 'import.meta\n'

export type UserFunction = (...args: unknown[]) => unknown
type Make = (values?: unknown) => UserFunction

/** `body`: statements that return the function. They see `values`, in base64 as V8 writes them, by the pattern `names`. */
export function plainText(body: string, names = '', values = ''): string {
  const given = values === '' ? '' : `${before}${values}${after}`
  return `const $shoalMake = (${names}) => {\n${body}}${begin}${given}${end}`
}

const functions = new Recent<UserFunction>(keptMax, keptBytesMax)
/** By what the functions say before their values. */
const makers = new Recent<Make>(keptMax, keptBytesMax)

/** Undefined if it is to be imported, as what only a module may say is. Throws what its text throws. */
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
  const fn = given === '' ? make() : make(readV8(Buffer.from(values, 'base64')))
  functions.add(file, fn, bytes.length)
  return fn
}

/** What that file says, if it was evaluated and is kept, as that of a running task is. */
export const loadedFrom = (file: string): UserFunction | undefined => functions.peek(file)

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
  } catch {
    // `import.meta` is no part of a text, and Node.js may be told to evaluate none.
    return undefined
  }
}

// biome-ignore lint/security/noGlobalEval: it is what engines are for; `node:vm` imports by an experimental option only.
const indirectly: (code: string) => unknown = eval
