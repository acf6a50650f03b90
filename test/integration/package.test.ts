/**
 * The package as a stranger has it: packed, unpacked in an empty project, imported, checked and run there.
 *
 * Not here: what the package can do. The project has the dependencies that the package names and no others, so that one which
 * is missing is missed; it lies outside of the checkout, where nothing of that is found by going up.
 */
import { type ExecFileOptions, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { root } from '../../build/package.ts'

const tsc = join(root, 'node_modules/typescript/bin/tsc')
let folder = ''
let project = ''

const main = `
import { createKey, createNode, type JobHandle, ShoalError } from 'shoal'
import { connectSync } from 'shoal/sync'
import { task } from 'shoal/task'

await using node = await createNode({ key: createKey(), slots: 1, mdns: false, listen: ['/ip4/127.0.0.1/tcp/0'] })
const job: JobHandle<number> = node.client.map((x: number) => 2 * x, [1, 2])
const doubled: number[] = await job
using mesh = connectSync({ key: 'lab.key' })
const squares: number[] = mesh.map((x: number) => x * x, [3, 4])
// @ts-expect-error An id is a string.
const outside = (): number => task.id
try {
  outside()
} catch (error) {
  console.log(JSON.stringify({ doubled, squares, outside: error instanceof ShoalError && error.code }))
}
`
const work = `
import { task } from 'shoal/task'
export const describe = (text: string) => text + ' is attempt ' + task.attempt
`
/** What README's examples take for granted. */
const given = `
import type * as shoal from 'shoal'
declare global {
  const mesh: shoal.Client
  const node: shoal.Node
  const key: shoal.MeshKey
  const createNode: typeof shoal.createNode
  const call: typeof shoal.call
  const ref: typeof shoal.ref
  const moduleFunction: typeof shoal.moduleFunction
  const inputs: { seed: number }[]
  const parts: { from: number; to: number }[]
  const samples: number[]
  const xs: number[]
  const file: string
  let counter: number
  const train: (input: { seed: number }) => number
  const load: (name: string) => number[]
  const merge: (left: number[], right: number[]) => number[]
  const refine: (merged: number[]) => number
  const fn: (x: number) => number
  const render: (page: number) => string
  const count: (bytes: Uint8Array) => number
  const foldersIn: (folder: string) => Promise<string[]>
  const filesIn: (folder: string) => number
  const endless: () => Generator<number>
  const endlessInputs: () => Generator<number>
  const frames: () => AsyncGenerator<Uint8Array>
  const print: (...parts: unknown[]) => void
  const show: (page: unknown) => void
  const write: (page: unknown) => void
}
`
const strict = { strict: true, skipLibCheck: false, noEmit: true, module: 'nodenext' }

/** In the project, with the Node.js of the tests. */
async function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const PATH = [dirname(process.execPath), process.env.PATH].join(delimiter)
  const options: ExecFileOptions = { cwd: project, env: { ...process.env, ...env, PATH } }
  const { stdout } = await promisify(execFile)(command, args, options).catch((error) => {
    throw new Error(`${error.message}\n${error.stdout}`)
  })
  return String(stdout)
}

/** What `npm pack` is given: the checkout, with what was built of it for these tests. */
async function pack(): Promise<string> {
  const staged = join(folder, 'staged')
  const dist = dirname(fileURLToPath(process.env.SHOAL_TEST_INDEX as string))
  await cp(dist, join(staged, 'dist'), { recursive: true })
  const declarations = ['-p', join(root, 'tsconfig.build.json'), '--outDir', join(staged, 'dist/types')]
  await run(process.execPath, [tsc, ...declarations])
  for (const name of ['package.json', 'README.md', 'ARCHITECTURE.md', 'MIGRATION.md', 'bin', 'src'])
    await cp(join(root, name), join(staged, name), { recursive: true })
  const [{ filename }] = JSON.parse(await run('npm', ['pack', staged, '--ignore-scripts', '--json']))
  return join(project, filename)
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-package-'))
  project = join(folder, 'project')
  const modules = join(project, 'node_modules')
  const own = join(modules, 'shoal')
  await mkdir(own, { recursive: true })
  await run('tar', ['-xzf', await pack(), '-C', own, '--strip-components=1'])
  const { dependencies, bin } = JSON.parse(await readFile(join(own, 'package.json'), 'utf8'))
  for (const name of Object.keys(dependencies)) {
    await mkdir(dirname(join(modules, name)), { recursive: true })
    await symlink(join(root, 'node_modules', name), join(modules, name))
  }
  await mkdir(join(modules, '.bin'))
  await symlink(join(own, bin.shoal), join(modules, '.bin/shoal'))
  await writeFile(join(project, 'package.json'), '{ "name": "empty", "private": true, "type": "module" }')
  await writeFile(join(project, 'main.ts'), main)
  await writeFile(join(project, 'work.ts'), work)
})

afterAll(() => rm(folder, { recursive: true, force: true }))

test('has what it needs and nothing of the workshop', async () => {
  const about = JSON.parse(await readFile(join(project, 'node_modules/shoal/package.json'), 'utf8'))
  expect(about.name).toBe('shoal')
  for (const name of ['src', 'bin/shoal.ts', 'dist/sources.json'])
    await expect(readFile(join(project, 'node_modules/shoal', name)), name).rejects.toThrow(/ENOENT/)
})

const typeRoots = [join(root, 'node_modules/@types')]
const ofNode = { ...strict, target: 'esnext', lib: ['esnext'], types: ['node'], typeRoots }

/** What the compiler has to say. */
async function check(compilerOptions: object, files: readonly string[]): Promise<string> {
  const config = join(project, 'tsconfig.json')
  await writeFile(config, JSON.stringify({ compilerOptions, files }))
  return run(process.execPath, [tsc, '--project', config])
}

test('its types are sound in a strict project, without those of Node and with them', async () => {
  const old = { ...strict, target: 'es2022', lib: ['es2022', 'dom'], types: [] }
  expect(await check(old, ['main.ts'])).toBe('')
  const exact = { exactOptionalPropertyTypes: true, verbatimModuleSyntax: true }
  expect(await check({ ...ofNode, ...exact }, ['main.ts'])).toBe('')
})

test('the examples of its README compile in a strict project', async () => {
  const readme = await readFile(join(project, 'node_modules/shoal/README.md'), 'utf8')
  const examples = [...readme.matchAll(/^```ts\n(.*?)^```/gms)].map(([, text]) => `${text}\nexport {}\n`)
  const files = ['given.ts', ...examples.map((_, n) => `example-${n}.ts`)]
  for (const [n, text] of [given, ...examples].entries())
    await writeFile(join(project, files[n] as string), text)
  expect(examples.length).toBeGreaterThan(8)
  expect(await check({ ...ofNode, skipLibCheck: true }, files)).toBe('')
})

test('`npx shoal` makes a key, starts a node and maps a module; a program imports all three ways in', async () => {
  const shoal = join(project, 'node_modules/.bin/shoal')
  expect(await run('npx', ['--no-install', 'shoal', '--help'])).toContain('usage: shoal')
  await run(shoal, ['init'])
  const loopback = ['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns']
  const up = spawn(process.execPath, [shoal, 'up', ...loopback, '--data', 'state', '--json'], {
    cwd: project,
    stdio: ['ignore', 'pipe', 'inherit']
  })
  try {
    const [line] = await once(createInterface({ input: up.stdout }), 'line')
    const [address] = JSON.parse(line).addresses as string[]
    const env = { SHOAL_PEERS: address }
    const said = await run(shoal, ['map', 'work.ts#describe', 'one', 'two'], env)
    expect(said).toBe('one is attempt 1\ntwo is attempt 1\n')
    const imported = JSON.parse(await run(process.execPath, ['main.ts'], env))
    expect(imported).toEqual({ doubled: [2, 4], squares: [9, 16], outside: 'SHOAL_NO_TASK' })
  } finally {
    up.kill('SIGKILL')
    await once(up, 'exit')
  }
})
