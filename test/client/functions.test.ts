/**
 * That functions are shipped with all they need, or refused with words that help.
 *
 * Not here: running shipped code in engines (test/tasks/executor/pool.test.ts).
 * Sources are given as text where the test runner would otherwise rewrite them.
 */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table holds source text
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { capturesOf } from '../../src/client/captures.ts'
import type { ModuleFunction, PlainFunction } from '../../src/client/functions.ts'
import { isModuleFunction, moduleFunction, ship } from '../../src/client/functions.ts'
import { makeRef } from '../../src/data/ref.ts'
import { chunksOfBytes } from '../../src/node/chunks.ts'
import { loadPlain, plainExport } from '../../src/tasks/executor/plain.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-functions-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, text)
  return path
}

/** A function with exactly this text, `names` being around it. */
function fromText(text: string, names: readonly string[] = []): PlainFunction {
  return new Function(...names, `return (${text})`)() as PlainFunction
}

/** Ships, and loads it as an engine would; one of an earlier version takes it for a module. */
async function travel(fn: PlainFunction | ModuleFunction, scope?: Record<string, unknown>) {
  const { code, digest, exportName } = await ship(fn, scope)
  const path = join(folder, `${digest}.mjs`)
  await writeFile(path, code)
  const module = await import(/* @vite-ignore */ pathToFileURL(path).href)
  expect(module[exportName]).toBeTypeOf('function')
  return (exportName === plainExport && loadPlain(path)) || module[exportName]
}

async function refusalOf(fn: unknown, scope?: Record<string, unknown>): Promise<string> {
  const error = await ship(fn as PlainFunction, scope).then(
    () => undefined,
    (thrown: unknown) => thrown
  )
  expect(error).toMatchObject({ code: 'SHOAL_BAD_FUNCTION' })
  return (error as Error).message
}

test.each([
  // Nothing is captured.
  ['(x) => x * 2', ''],
  ['function (a, b = a) { return a + b }', ''],
  ['async ({ a, b: { c = a, ...d }, [a + c]: e }, [f, , ...g], ...h) => [a, c, d, e, f, g, h]', ''],
  ['function fact(n) { return n < 2 ? 1 : n * fact(n - 1) }', ''],
  ['() => { later(); function later() { return hoisted } var hoisted }', ''],
  ['() => { if (true) { var inner = 1 } return inner }', ''],
  ['() => { for (let i = 0, n = 3; i < n; i++) ; for (const k in {}) k; for (const [v] of []) v }', ''],
  ['() => { try { x() } catch ({ message }) { return message } function x() {} }', ''],
  ['() => { try { JSON.parse("") } catch { return null } }', ''],
  ['() => { outer: for (;;) { for (;;) { continue outer } break outer } }', ''],
  ['(o) => ({ key: o.member, o, method(p) { return p }, get [o.k]() { return this.key } })', ''],
  ['(o) => o?.a?.[0]?.(o.b) ?? `${o.c} text`', ''],
  [
    '() => { class A { #p = 1; static s = A.t; static { this.q = 1 } m() { return this.#p } } return new A() }',
    ''
  ],
  ['() => class B extends Array { constructor() { super(); this.n = B.name } }', ''],
  ['() => [Math.max(1), console.log, structuredClone, undefined, NaN, Buffer, process, URL, fetch]', ''],
  ["async () => (await import('node:os')).cpus()", ''],
  ['() => import.meta.url', ''],
  ['function () { return [arguments.length, this, new.target, () => arguments] }', ''],
  ['(x) => { switch (x) { case 1: let y = 2; return y; default: return x } }', ''],
  ['(x) => { let y; [y, x] = [x, y]; ({ y, z: x = y } = {}); return y }', ''],
  ['async (xs) => { for await (const x of xs) x; const f = async () => await 1; return f }', ''],
  ['(x) => { const again = (n) => n && again(n - 1); return again(x) }', ''],
  ['(tag) => tag`a${1}b`', ''],
  ['(x) => { { let x = 1; x } return x }', ''],
  ['function* (n) { for (let i = 0; i < n; i++) yield i }', ''],
  ['async function* () { yield* later(); async function* later() {} }', ''],
  // Something is.
  ['(x) => x * factor', 'factor'],
  ['(x) => table[x] + factor', 'table factor'],
  ['(x = fallback) => x', 'fallback'],
  ['(x = late) => { var late; return x }', 'late'],
  ['({ [key]: x }) => x', 'key'],
  ['() => { if (true) { let inner = 1 } return inner }', 'inner'],
  ['() => { for (const i of []) i; return i }', 'i'],
  ['() => { try {} catch (e) {} return e }', 'e'],
  ['() => { const f = function g() {}; return g }', 'g'],
  ['() => { const f = (a) => a; return a }', 'a'],
  ['() => ({ short, key: 1, [computed]: 2 })', 'short computed'],
  ['(o) => o.member + o[name]', 'name'],
  ['() => { outside = 1 }', 'outside'],
  ['() => { [first, { second }] = [] }', 'first second'],
  ['() => `${value}`', 'value'],
  ['() => tag`x`', 'tag'],
  ['() => helper?.(1)', 'helper'],
  ['() => class extends Base { [field] = initial; m() { return other } }', 'Base field initial other'],
  ['() => { const A = class Inner {}; return Inner }', 'Inner'],
  ['() => new Thing()', 'Thing'],
  ['() => typeof window', 'window'],
  ["() => require('os')", 'require'],
  ['() => this.x', 'this'],
  ['() => () => this', 'this'],
  ['() => arguments[0]', 'arguments'],
  ['async (n) => (await import(n + suffix)).default', 'suffix'],
  ['(xs) => xs.map((x) => x + delta).filter(Boolean)', 'delta']
])('captures of %s', (text, names) => {
  const captures = capturesOf(text)
  expect(captures).toMatchObject({ kind: 'function' })
  expect('names' in captures && captures.names.join(' ')).toBe(names)
})

test.each([
  ['foo() {}', 'method'],
  ['async foo() {}', 'method'],
  ['get foo() { return super.foo }', 'method'],
  ['class A {}', 'class'],
  ['function () { with ({}) {} }', 'unreadable'],
  ['(', 'unreadable']
])('%s is no function that stands alone, but a %s', (text, kind) => {
  expect(capturesOf(text).kind).toBe(kind)
})

test.each([
  ['modules that ran before have left in an engine', ['require', '__filename', '__dirname']],
  ['Node has at its prompt only', ['require', 'module', 'fs', 'path', '_', '_error']]
])('what %s is no part of Node', async (_what, names) => {
  for (const name of names) vi.stubGlobal(name, '')
  vi.resetModules()
  try {
    const { capturesOf } = await import('../../src/client/captures.ts')
    expect(capturesOf(`() => [${names}]`)).toMatchObject({ names })
  } finally {
    vi.unstubAllGlobals()
  }
})

test('a plain function travels, under its name and by its digest', async () => {
  const square = fromText('function square(x) { return x * x }')
  const shipped = await ship(square)
  expect(shipped).toMatchObject({ exportName: '$shoalPlain', name: 'square' })
  expect(shipped.digest).toBe(createHash('sha256').update(shipped.code).digest('base64url'))
  expect(await ship(square)).toBe(shipped)
  expect((await travel(square))(3)).toBe(9)
})

test('an arrow function that calls itself travels', async () => {
  const fact = new Function(
    'const fact = (n) => (n < 2 ? 1 : n * fact(n - 1)); return fact'
  )() as PlainFunction
  expect((await travel(fact))(5)).toBe(120)
})

test.each([
  ['const factor = 3; return { factor: (n) => n * factor }.factor', 'factor'],
  ['let half = (x) => x / 2; const of = { half: function (x) { return half(x) } }; return of.half', 'half'],
  ['const rate = 3; const fn = ({ [String("rate")]: () => rate }).rate; return fn', 'rate'],
  ['let again = (n) => n && again(n - 1); const before = again; again = 7; return before', 'again']
])('what a function means by the name that it got from its place is not itself: %s', async (text, name) => {
  expect(await refusalOf(new Function(text)())).toContain(`the function captures \`${name}\` from outside`)
})

test('what means itself is not remembered by its text, as the same text may mean another thing elsewhere', async () => {
  const text = 'return { same: (n) => n && same(n - 1) }.same'
  const itself = new Function('const same = (n) => n && same(n - 1); return same')() as PlainFunction
  expect((await travel(itself))(3)).toBe(0)
  expect(await refusalOf(new Function(`const same = () => 1; ${text}`)())).toContain('`same`')
})

test('a function that esbuild compiled with names kept travels', async () => {
  const fn = fromText('(n) => { const twice = __name((x) => 2 * x, "twice"); return twice(n) }')
  expect((await travel(fn))(4)).toBe(8)
})

test('a function whose name is a keyword travels', async () => {
  const { default: fn } = { default: fromText('() => 1') }
  Object.defineProperty(fn, 'name', { value: 'default' })
  expect((await travel(fn))()).toBe(1)
})

test('captured names are listed with what to do', async () => {
  const fn = fromText('(x) => x * factor + table[x]', ['factor', 'table'])
  expect(await refusalOf(fn)).toBe(
    'the function captures `factor` and `table` from outside; pass them as arguments, ' +
      'ship them with `scope: { factor, table }` if they are data, or use moduleFunction()'
  )
  expect(await refusalOf(fn, { factor: 1 })).toContain('captures `table` from outside')
})

test('scope travels along', async () => {
  const fn = fromText('(x) => x * factor + table.get(x)', ['factor', 'table'])
  const scoped = await travel(fn, { factor: 10, table: new Map([[2, 5]]) })
  expect(scoped(2)).toBe(25)
})

test('a Ref in scope is refused with what to do: it would not arrive as its bytes', async () => {
  const scan = makeRef(chunksOfBytes(new Uint8Array(5)).id)
  const fn = fromText('() => scans.length', ['scans'])
  expect(await refusalOf(fn, { scans: [scan] })).toBe(
    '`scope` has a Ref in it; give it as an argument, where it arrives as its bytes'
  )
})

test('scope is data under names of variables', async () => {
  const fn = fromText('() => f()', ['f'])
  await expect(ship(fn, { f: () => 1 })).rejects.toMatchObject({
    code: 'SHOAL_BAD_VALUE',
    message: 'scope.f is a function and cannot travel; send data only'
  })
  expect(await refusalOf(fn, { f: 1, 'a = 1, b': 2 })).toContain('cannot name a variable')
  expect(await refusalOf(fn, { f: 1, class: 2 })).toContain('cannot name a variable')
})

test.each([
  [Math.max, 'native or bound'],
  [function plain() {}.bind(null), 'native or bound'],
  [{ foo() {} }.foo, '`foo` is a method; write it as a function'],
  [
    fromText("() => require('os')"),
    'captures `require` from outside; use `await import()`, or moduleFunction()'
  ],
  [fromText('() => __dirname'), 'captures `__dirname` from outside; pass them as arguments, or use'],
  [fromText("() => import('./neighbour.js')"), 'imports `./neighbour.js`'],
  [fromText("() => import('some-package')"), 'use moduleFunction()'],
  ['text', 'expected a function, got string']
])('refused with advice: %#', async (fn, advice) => {
  expect(await refusalOf(fn)).toContain(advice)
})

test('a module travels with its dependencies, TypeScript and CommonJS included', async () => {
  await file('cjs.cjs', "const os = require('node:os'); exports.eol = os.EOL")
  await file('part.ts', 'export const twice = (x: number): number => x * 2')
  const main = await file(
    'main.ts',
    `import { eol } from './cjs.cjs'
import { createRequire } from 'node:module'
import { twice } from './part.ts'
const require = createRequire(import.meta.url)
export function run(x: number): string { return twice(x) + eol + require('node:path').sep }
export default run`
  )
  const fn = moduleFunction(main, 'run')
  expect(isModuleFunction(fn)).toBe(true)
  expect(isModuleFunction({ file: main })).toBe(false)
  expect(await ship(fn)).toMatchObject({ exportName: 'run', name: 'run' })
  expect((await travel(fn))(4)).toBe('8\n/')
  expect((await travel(moduleFunction(pathToFileURL(main))))(1)).toBe('2\n/')
})

test('what is wrong with a module is said', async () => {
  const broken = await file('broken.ts', 'export default ) => 1')
  const lonely = await file('lonely.ts', "import 'not-installed-anywhere'; export default () => 1")
  const other = await file('other.ts', 'export const a = 1, b = 2')
  const big = await file('big.ts', `export default () => '${'x'.repeat(9 * 1024 * 1024)}'`)
  expect(await refusalOf(moduleFunction(join(folder, 'absent.ts')))).toContain('there is no file')
  expect(await refusalOf(moduleFunction(broken))).toMatch(/cannot be bundled: .*broken\.ts:1:16/)
  expect(await refusalOf(moduleFunction(lonely))).toContain('Could not resolve "not-installed-anywhere"')
  expect(await refusalOf(moduleFunction(other))).toContain('no export `default`; it exports `a` and `b`')
  expect(await refusalOf(moduleFunction(big))).toContain('more than the limit')
  expect(await refusalOf(moduleFunction(other, 'a'), { x: 1 })).toContain('`scope` is for plain functions')
})

test('a refusal is not remembered', async () => {
  const fn = moduleFunction(join(folder, 'late.ts'))
  await refusalOf(fn)
  await file('late.ts', 'export default () => 7')
  expect((await travel(fn))()).toBe(7)
})
