/**
 * A function as a module that stands alone, so that another machine can load it.
 *
 * Not here: finding what a function captures (captures.ts), sending and storing the code.
 * A function is packed like a traveller: a module export goes with all it imports, a plain function with its text and what
 * is declared in `scope`, and whoever forgot something is told at the door rather than on the other side.
 */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { namesData } from '../data/envelope.ts'
import { ShoalError } from '../errors.ts'
import type { Digest } from '../ids.ts'
import { needsModule, plainExport, plainText } from '../tasks/executor/plain.ts'
import { bundle } from './bundle.ts'
import { capturesOf, isBindable } from './captures.ts'
import { isItself } from './itself.ts'
import { codeBytesMax } from './protocol.ts'
import { encodeValue } from './values.ts'

export interface Shipped {
  /** An ES module that needs nothing but Node. */
  readonly code: Uint8Array
  /** SHA-256 of `code`. */
  readonly digest: Digest
  readonly exportName: string
  /** For people. */
  readonly name: string
}

export type PlainFunction = (...args: never[]) => unknown

/** What a function that goes through a list calls another one with: each input, or the values of each row. */
export type Each = 'input' | 'row'

const moduleBrand: unique symbol = Symbol('shoal module function')

/** An export of a module on this machine; the module is read when it is first shipped. */
export interface ModuleFunction {
  readonly [moduleBrand]: true
  /** Absolute path. */
  readonly file: string
  readonly exportName: string
  /** It goes through a list, and gives a list (views/chunked.ts). */
  readonly each?: Each
}

/**
 * Names a function by its module, which may import what it likes. A relative path starts at the current folder. Throws
 * SHOAL_BAD_FUNCTION for what is no path.
 */
export function moduleFunction(file: string | URL, exportName = 'default'): ModuleFunction {
  const isFile = file instanceof URL || (typeof file === 'string' && file !== '')
  if (!isFile || typeof exportName !== 'string')
    throw refusal(
      "moduleFunction() takes a file and the name of an export: moduleFunction('./work.ts', 'render')"
    )
  const isUrl = file instanceof URL || file.startsWith('file:')
  return Object.freeze({
    [moduleBrand]: true,
    file: isUrl ? fileURLToPath(file) : resolve(file),
    exportName
  } as const)
}

export function isModuleFunction(value: unknown): value is ModuleFunction {
  return typeof value === 'object' && value !== null && moduleBrand in value
}

/** Called by functions that esbuild has compiled (tsx does) so that they keep their names; it stays behind. */
const nameKeeper = '__name'
/** What every CommonJS module has of its own. */
const placeNames = new Set(['__dirname', '__filename', 'module', 'exports'])

/** Texts of plain functions that are remembered as packed. */
const sourcesMax = 256
const bySource = new Map<string, Promise<Shipped>>()
const cache = new WeakMap<PlainFunction | ModuleFunction, Promise<Shipped>>()

/**
 * Packs a function. Throws SHOAL_BAD_FUNCTION if it cannot stand alone, saying what to do, and SHOAL_BAD_VALUE for values of
 * `scope` that cannot travel. Without `scope`, the same function is packed once per process: edit and restart.
 */
export async function ship(
  fn: PlainFunction | ModuleFunction,
  scope?: Record<string, unknown>
): Promise<Shipped> {
  if (!isModuleFunction(fn) && typeof fn !== 'function')
    throw refusal(`expected a function, got ${typeof fn}`)
  if (scope) return shipPlain(fn, scope)
  const before = cache.get(fn)
  if (before) return before
  const shipped = isModuleFunction(fn) ? shipModule(fn) : shipSource(fn)
  cache.set(fn, shipped)
  // A missing file may appear, so a refusal is not for ever.
  shipped.catch(() => cache.delete(fn))
  return shipped
}

/**
 * Packs several functions as one that takes the number of the function before its arguments. They are all plain, or all of
 * one module. Throws as `ship` does.
 */
export async function shipTogether(
  functions: readonly (PlainFunction | ModuleFunction)[],
  scope: Record<string, unknown> = {},
  shipOne: typeof ship = ship
): Promise<Shipped> {
  const [first = (): void => {}, ...more] = functions
  if (more.length === 0) return shipOne(first, Object.keys(scope).length === 0 ? undefined : scope)
  const modules = functions.filter(isModuleFunction)
  if (modules.length === 0) return shipPlains(functions as readonly PlainFunction[], scope)
  const file = modules[0]?.file ?? ''
  if (modules.length < functions.length || modules.some((one) => one.file !== file))
    throw refusal('the functions of a graph are all plain, or all of one module; export them from one file')
  const exports = modules.map(({ exportName }) => exportName)
  for (const one of modules) await shipOne(one)
  const { code } = await bundle(file)
  const choice = `import(import.meta.url).then((all) => all[${JSON.stringify(exports)}[which]](...args))`
  const text = `\nexport const $shoalGraph = (which, ...args) => ${choice}\n`
  return finish(Buffer.concat([code, new TextEncoder().encode(text)]), '$shoalGraph', 'graph')
}

function shipPlains(functions: readonly PlainFunction[], scope: Record<string, unknown>): Shipped {
  let seeks = false
  const entries = functions.map((fn) => {
    const source = fn.toString()
    if (refuseUnless(fn, source, Object.keys(scope)).seeks) seeks = true
    const isNamed = isBindable(fn.name) && !Object.hasOwn(scope, fn.name)
    return isNamed ? `(() => { const ${fn.name} = ${source}\nreturn ${fn.name} })()` : `(${source})`
  })
  const all = entries.join(',\n')
  const text = `const $shoalGraph = [${all}]\nreturn (which, ...args) => (0, $shoalGraph[which])(...args)\n`
  return plain(`${nameKeeperText(all, scope)}${text}`, seeks, scope, 'graph')
}

/** An arrow function in a loop is a new object each time, and the same text. */
function shipSource(fn: PlainFunction): Promise<Shipped> {
  const source = `${fn.name}\n${fn.toString()}`
  const before = bySource.get(source)
  if (before) return before
  const shipped = shipPlain(fn, {})
  // Whether it means itself is asked of each one.
  if (speaksOf(fn.toString(), fn.name)) return shipped
  if (bySource.size >= sourcesMax) bySource.clear()
  bySource.set(source, shipped)
  return shipped
}

async function shipModule({ file, exportName, each }: ModuleFunction): Promise<Shipped> {
  if (!existsSync(file))
    throw refusal(`there is no file ${file}; give moduleFunction() a path or import.meta.resolve()`)
  const { code, exports } = await bundle(file)
  if (!exports.includes(exportName)) {
    const has = exports.length > 0 ? `it exports ${quoted(exports)}` : 'it exports nothing'
    throw refusal(`${file} has no export \`${exportName}\`; ${has}`)
  }
  const name = exportName === 'default' ? basename(file) : exportName
  if (each === undefined) return finish(code, exportName, name)
  const fn = `(await import(import.meta.url))[${JSON.stringify(exportName)}]`
  const text = `\nexport const $shoalEach = ${eachText(fn, each)}\n`
  return finish(Buffer.concat([code, new TextEncoder().encode(text)]), '$shoalEach', name)
}

async function shipPlain(
  fn: PlainFunction | ModuleFunction,
  scope: Record<string, unknown>
): Promise<Shipped> {
  if (isModuleFunction(fn)) throw refusal('`scope` is for plain functions; a module imports what it needs')
  const source = fn.toString()
  const name = fn.name || 'anonymous'
  const { seeks } = refuseUnless(fn, source, Object.keys(scope))
  return plain(`${nameKeeperText(source, scope)}${returnText(source, fn.name, scope)}`, seeks, scope, name)
}

/** What it seeks is looked for where its module lies. */
function plain(body: string, seeks: boolean, scope: Record<string, unknown>, name: string): Shipped {
  const text = plainText(seeks ? `${needsModule}${body}` : body, ...scopeText(scope))
  return finish(new TextEncoder().encode(text), plainExport, name)
}

/** A function that goes through a list. `fn`: an expression. What a generator yields is its result, as where tasks are single. */
export function eachText(fn: string, each: Each): string {
  return `async ($inputs) => {
  const $one = ${fn}
  const $results = []
  for (const $input of $inputs) {
    const $given = await $one(${each === 'row' ? '...$input' : '$input'})
    const $isMany = /^(Async)?Generator$/.test($given?.[Symbol.toStringTag])
    $results.push($isMany ? await Array.fromAsync($given) : $given)
  }
  return $results
}`
}

function refuseUnless(fn: PlainFunction, source: string, given: readonly string[]): { seeks: boolean } {
  const { name } = fn
  const what = name ? `\`${name}\`` : 'the function'
  const instead = 'write it as a function or an arrow function, or use moduleFunction()'
  if (/\{\s*\[native code\]\s*\}\s*$/.test(source))
    throw refusal(`${what} is native or bound and has no text; ${instead}`)
  const captures = capturesOf(source)
  if (captures.kind === 'unreadable') {
    throw refusal(`${what} cannot be read as a function of a strict module: ${captures.reason}; ${instead}`)
  }
  if (captures.kind !== 'function') throw refusal(`${what} is a ${captures.kind}; ${instead}`)
  const known = [nameKeeper, ...given]
  // The module binds the function's own name, so that it may call itself.
  const isKnown = (captured: string): boolean =>
    known.includes(captured) || (captured === name && isItself(fn, name))
  const names = captures.names.filter((captured) => !isKnown(captured))
  if (names.length > 0) throw refusal(captured(names))
  if (captures.imports.length > 0) {
    const message = `the function imports ${quoted(captures.imports)}, which other machines may not have; use moduleFunction()`
    throw refusal(message)
  }
  return captures
}

function speaksOf(source: string, name: string): boolean {
  const captures = capturesOf(source)
  return captures.kind === 'function' && captures.names.includes(name)
}

function captured(names: readonly string[]): string {
  const stays = `the function captures ${quoted(names)} from outside`
  if (names.includes('require')) return `${stays}; use \`await import()\`, or moduleFunction()`
  const scope = names.filter((name) => name !== 'this' && name !== 'arguments' && !placeNames.has(name))
  const ways = ['pass them as arguments']
  if (scope.length > 0) ways.push(`ship them with \`scope: { ${scope.join(', ')} }\` if they are data`)
  return `${stays}; ${ways.join(', ')}, or use moduleFunction()`
}

/** The names of `scope` as a pattern, and its values in base64. */
function scopeText(scope: Record<string, unknown>): [names: string, values: string] {
  const names = Object.keys(scope)
  if (names.length === 0) return ['', '']
  const odd = names.find((name) => !isBindable(name))
  if (odd !== undefined)
    throw refusal(`\`scope\` names ${JSON.stringify(odd)}, which cannot name a variable; rename it`)
  // Spread, as a scope that is a module namespace or an instance is meant as its fields; the first byte is the codec's tag.
  const encoded = encodeValue({ ...scope }, 'scope')
  if (namesData(encoded[0]))
    throw refusal('`scope` has a Ref in it; give it as an argument, where it arrives as its bytes')
  return [`{ ${names.join(', ')} }`, Buffer.from(encoded.subarray(1)).toString('base64')]
}

function nameKeeperText(source: string, scope: Record<string, unknown>): string {
  if (!source.includes(nameKeeper) || Object.hasOwn(scope, nameKeeper)) return ''
  return `const ${nameKeeper} = (named) => named\n`
}

function returnText(source: string, name: string, scope: Record<string, unknown>): string {
  if (!isBindable(name) || Object.hasOwn(scope, name)) return `return (${source}\n)\n`
  // Named, so that stack traces tell more and arrow functions can call themselves.
  return `const ${name} = ${source}\nreturn ${name}\n`
}

/** Throws SHOAL_BAD_FUNCTION if it is too large to travel. */
export function finish(code: Uint8Array, exportName: string, name: string): Shipped {
  if (code.byteLength > codeBytesMax) {
    const message = `${name} is ${code.byteLength} bytes of code with its dependencies, more than the limit of ${codeBytesMax}`
    throw refusal(`${message}; import less, or pass data as arguments`)
  }
  const digest = createHash('sha256').update(code).digest('base64url') as Digest
  return { code, digest, exportName, name }
}

function quoted(names: readonly string[]): string {
  const all = names.map((name) => `\`${name}\``)
  return all.length < 2 ? all.join('') : `${all.slice(0, -1).join(', ')} and ${all.at(-1)}`
}

function refusal(message: string, cause?: unknown): ShoalError {
  return new ShoalError('SHOAL_BAD_FUNCTION', message, { cause })
}
