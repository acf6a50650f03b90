/**
 * The house rules that a script can check: where arrows may point, how long a file may be, and that each says what it is.
 *
 * Not here: format and lint (biome), purity of the core (tsconfig.core.json).
 */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const files = globSync('{src,bin,build,bench,examples,test}/**/*.ts', { cwd: root }).sort()
const textOf = (file: string): string => readFileSync(join(root, file), 'utf8')
const linesMax = 400

/** Lower may not import higher. Both directions are allowed within a rank. */
const ranks: readonly (readonly RegExp[])[] = [
  [/^src\/(ids|errors|machine|random|spent|wire|version)\.ts$/],
  [/^src\/(routing|data|cells|tasks|client|node|hosted)\//],
  [/^src\/(index|task)\.ts$/],
  [/^(bin|build|bench|examples|test)\//]
]
/** Within src, what may never be imported from where. */
const forbidden: readonly (readonly [from: RegExp, to: RegExp])[] = [
  [/^src\/routing\//, /^src\/(data|cells|tasks|client|node)\//],
  [/^src\/cells\//, /^src\/(data|tasks|client|node)\//],
  [/^src\/data\//, /^src\/(tasks|client|node)\//],
  [/^src\/tasks\/(?!executor)/, /^src\/(node|tasks\/executor)\//],
  [/^src\/tasks\/executor\//, /^src\/(node|routing)\//],
  [/^src\/client\/(protocol|session|shards)\.ts$/, /^src\/(node|tasks\/executor)\//]
]

function importsOf(file: string): string[] {
  const found = textOf(file).matchAll(/^(?:import|export)\b[^'"]*?from '(\.[^']+)'/gm)
  return [...found].map(([, path = '']) => relative(root, join(root, dirname(file), path)))
}

const rankOf = (file: string): number => ranks.findIndex((some) => some.some((pattern) => pattern.test(file)))

test('imports point one way', () => {
  const wrong: string[] = []
  for (const from of files) {
    for (const to of importsOf(from)) {
      const isUpwards = rankOf(to) > rankOf(from) && rankOf(from) >= 0
      const isForbidden = forbidden.some(([a, b]) => a.test(from) && b.test(to))
      if (isUpwards || isForbidden) wrong.push(`${from} -> ${to}`)
    }
  }
  expect(files.flatMap(importsOf).length).toBeGreaterThan(200)
  expect(wrong).toEqual([])
})

test('whatever is to be pure is compiled without a clock and without Node', () => {
  const { files: roots } = JSON.parse(textOf('tsconfig.core.json')) as { files: string[] }
  const compiled = new Set(roots)
  for (const file of compiled) for (const one of importsOf(file)) compiled.add(one)
  const core = files.filter((file) => /^src\/(routing|data|cells|tasks\/(?!executor\/))/.test(file))
  expect(core.length).toBeGreaterThan(80)
  expect(core.filter((file) => !compiled.has(file))).toEqual([])
})

test(`no file exceeds ${linesMax} lines`, () => {
  const long = files.map((file) => [file, textOf(file).split('\n').length - 1] as const)
  expect(long.filter(([, lines]) => lines > linesMax)).toEqual([])
})

test('every file says what it is', () => {
  const isSaid = (text: string): boolean => /^(#!.*\n|\/\/\/.*\n)*\/\*\*\n \* \S/.test(text)
  expect(files.filter((file) => !isSaid(textOf(file)))).toEqual([])
})

test('no test is skipped, narrowed or left to be written', () => {
  const pattern = /\.(skip|only|todo|fails)\(/
  expect(files.filter((file) => file !== 'test/tidy.test.ts' && pattern.test(textOf(file)))).toEqual([])
})
