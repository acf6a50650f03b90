/**
 * That modules travel with all they import, point back to their sources, and are refused by name for what stays behind.
 *
 * Not here: plain functions (functions.test.ts), stacks as engines tell them (test/tasks/executor/pool.test.ts).
 * Every module is written to a folder of its own, packed there, and loaded from elsewhere.
 */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bundle } from '../../src/client/bundle.ts'

let folder: string
let count = 0
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-bundle-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** Writes files into a folder of their own, and returns the first one's path. */
async function project(files: Readonly<Record<string, string>>): Promise<string> {
  const root = join(folder, `p${++count}`)
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true })
    await writeFile(join(root, name), text)
  }
  return join(root, Object.keys(files)[0] as string)
}

/** The module, loaded where nothing of the project is. */
async function elsewhere(file: string) {
  const { code } = await bundle(file)
  const path = join(folder, `elsewhere${++count}.mjs`)
  await writeFile(path, code)
  return import(/* @vite-ignore */ pathToFileURL(path).href)
}

async function refusalOf(files: Readonly<Record<string, string>>): Promise<string> {
  const error = await bundle(await project(files)).then(
    () => undefined,
    (thrown: unknown) => thrown
  )
  expect(error).toMatchObject({ code: 'SHOAL_BAD_FUNCTION' })
  return (error as Error).message
}

test('JSON, text, bytes, sub-paths, private imports, dynamic imports and builtins travel along', async () => {
  const main = await project({
    'src/main.ts': `import table from './table.json' with { type: 'json' }
      import text from './note.md' with { type: 'text' }
      import bytes from './note.md' with { type: 'bytes' }
      import { sub } from 'thing/sub'
      import own from '#own'
      import { sep } from 'node:path'
      import { EOL } from 'os'
      export default async (which: string): Promise<unknown[]> => {
        const { lazy } = await import('./lazy.ts')
        const { word } = await import(\`./words/\${which}.ts\`)
        const { basename } = await import('node:path')
        return [table.rows, text, bytes[0], sub, own, sep, EOL, lazy, word, basename('/a/b')]
      }`,
    'src/table.json': '{ "rows": [1, 2] }',
    'src/note.md': 'note',
    'src/own.ts': 'export default 5 as number',
    'src/lazy.ts': 'export const lazy: boolean = true',
    'src/words/one.ts': "export const word = 'eins'",
    'src/words/two.ts': "export const word = 'zwei'",
    'package.json': '{ "type": "module", "imports": { "#own": "./src/own.ts" } }',
    'node_modules/thing/package.json': '{ "exports": { "./sub": { "import": "./deep/sub.mjs" } } }',
    'node_modules/thing/deep/sub.mjs': "export const sub = 'sub'"
  })
  const { default: fn } = await elsewhere(main)
  expect(await fn('two')).toEqual([[1, 2], 'note', 110, 'sub', 5, '/', '\n', true, 'zwei', 'b'])
})

test('a stack points into the sources', async () => {
  const main = await project({
    'src/main.ts': `import { check } from '../lib/check.ts'

interface Thing { readonly size: number }
export default (thing: Thing): void => check(thing.size)`,
    'lib/check.ts': `type Size = number
export function check(size: Size): void {
  if (size > 1)
    throw new RangeError('too large')
}`
  })
  const { code } = await bundle(main)
  const path = join(folder, 'stack.mjs')
  await writeFile(path, code)
  // In a process of its own, as this test runner maps stacks itself.
  const run = `const { setSourceMapsSupport } = await import('node:module'); setSourceMapsSupport(true)
    const { default: fn } = await import(${JSON.stringify(path)})
    try { fn({ size: 2 }) } catch (error) { console.log(error.stack) }`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', run])
  const root = dirname(dirname(main))
  expect(stdout).toContain(`at check (${root}/lib/check.ts:4:11)`)
  expect(stdout).toContain(`${root}/src/main.ts:4:4`)
})

test.each([
  ["readFile(new URL('./data.csv', import.meta.url))", '`./data.csv` by its place'],
  ["readFile(new URL('data/' + name, import.meta.url))", 'files by their place'],
  ["readFile(join(import.meta.dirname, 'data', 'x.csv'))", '`data/x.csv` by its place'],
  [
    "readFile(path.join(path.dirname(fileURLToPath(import.meta.url)), '../x.csv'))",
    '`../x.csv` by its place'
  ],
  ["readFile(join(here, 'data.csv'))", '`data.csv` by its place'],
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the table holds source text
  ['readFile(`${here}/data.csv`)', '`data.csv` by its place'],
  ["readFile(here + '/' + name)", 'files by their place'],
  ['readdir(here)', 'files by their place'],
  ["readFile(join(__dirname, 'data.csv'))", '`data.csv` by its place'],
  ["new Worker(new URL('./worker.js', import.meta.url))", '`./worker.js` by its place'],
  ["import.meta.resolve('./data.csv')", '`./data.csv` by its place'],
  ["createRequire(import.meta.url)('./data.json')", 'loads `./data.json` by createRequire()'],
  ["local('left-pad')", 'loads `left-pad` by createRequire()']
])('what is read by its place stays behind, and is named: %s', async (expression, named) => {
  const message = await refusalOf({
    'main.ts': `import * as path from 'node:path'
      import { dirname, join } from 'node:path'
      import { readFile, readdir } from 'node:fs/promises'
      import { createRequire } from 'node:module'
      import { fileURLToPath } from 'node:url'
      import { Worker } from 'node:worker_threads'
      const here = dirname(fileURLToPath(import.meta.url))
      const local = createRequire(import.meta.url)
      export default async (name: string): Promise<unknown> => ${expression}`
  })
  expect(message).toContain(`main.ts:9 `)
  expect(message).toContain(named)
  expect(message).toMatch(/; import it( instead|, and it travels along)/)
})

test('places that lead nowhere are left alone', async () => {
  const main = await project({
    'main.ts': `import { createRequire } from 'node:module'
      import { join } from 'node:path'
      import { fileURLToPath } from 'node:url'
      import { idle } from 'careless'
      const require = createRequire(import.meta.url)
      const __filename = fileURLToPath(import.meta.url)
      if (process.argv[1] === __filename) console.log('not a program here')
      export default (folder: string): unknown[] =>
        [require('node:os').EOL, typeof __dirname, new URL('http://a/b', import.meta.url).href, join(folder, 'x'), idle()]`,
    'node_modules/careless/package.json': '{ "main": "careless.js" }',
    'node_modules/careless/careless.js': `const path = require('path')
      const cache = path.join(__dirname, 'never-there.json')
      exports.idle = () => typeof cache`
  })
  const { default: fn } = await elsewhere(main)
  expect(fn('f')).toEqual(['\n', 'string', 'http://a/b', 'f/x', 'string'])
})

test('a dependency that reads a file of its own is refused by its name', async () => {
  const message = await refusalOf({
    'main.ts': "import { words } from 'dictionary'; export default () => words()",
    'node_modules/dictionary/package.json': '{ "main": "index.js" }',
    'node_modules/dictionary/index.js': `const { readFileSync } = require('fs')
exports.words = () => readFileSync(__dirname + '/words.txt', 'utf8')`,
    'node_modules/dictionary/words.txt': 'a b c'
  })
  expect(message).toContain('node_modules/dictionary/index.js:2 reads `words.txt` by its place')
})

test('native addons are refused by name', async () => {
  const direct = await refusalOf({
    'main.cjs': "module.exports = require('./fast.node')",
    'fast.node': 'machine code'
  })
  expect(direct).toMatch(/`.*fast\.node` is a native addon.*use a package without native code, or install it/)
  const loaded = await refusalOf({
    'main.ts': "import fast from 'fast'; export default () => fast",
    'node_modules/fast/package.json': '{ "main": "index.js" }',
    'node_modules/fast/index.js': "module.exports = require('node-gyp-build')(__dirname)",
    'node_modules/node-gyp-build/package.json': '{ "main": "index.js" }',
    'node_modules/node-gyp-build/index.js': 'module.exports = (dir) => require(dir)'
  })
  expect(loaded).toContain('`fast` loads a native addon')
  for (const load of [
    "process.dlopen(module, path.join(__dirname, 'fast.node'))",
    "createRequire(__filename)('./fast.node')"
  ]) {
    const byPlace = await refusalOf({
      'main.cjs': `const path = require('path'); const { createRequire } = require('module')
        exports.default = () => ${load}`,
      'fast.node': 'machine code'
    })
    expect(byPlace).toMatch(
      /main\.cjs:2 .*fast\.node`.*a native addon, which.*use a package without native code/
    )
  }
})
