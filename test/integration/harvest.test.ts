/**
 * What `shoal run` brings home, and what it says of what it cannot: on a real node, by the command.
 *
 * Not here: programs over many inputs and nodes (programs.test.ts).
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, openSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { programOf } from './prepare.ts'
import { Lab, type NodeProcess } from './processes.ts'

const command = programOf(new URL('../../bin/shoal.ts', import.meta.url))

let lab: Lab
let node: NodeProcess
let folder: string
beforeAll(async () => {
  lab = await Lab.open()
  node = await lab.start('n1', [], { slots: 2, more: { allowRun: true } })
})
beforeEach(async () => {
  folder = await mkdtemp(join(lab.folder, 'at-'))
})
afterAll(() => lab.close())

interface Ended {
  readonly code: number | null
  readonly bytes: Buffer
  readonly stdout: string
  readonly stderr: string
}

async function shoal(verb: string, args: readonly string[], stdin = '', to?: string): Promise<Ended> {
  const { SHOAL_KEY, SHOAL_PEERS, ...env } = process.env
  const near = ['--key', lab.keyFile, '--no-mdns', '--timeout', '60', '--peer', node.address]
  const out = to === undefined ? 'pipe' : openSync(to, 'w')
  const child = spawn(process.execPath, [command, verb, ...near, ...args], {
    cwd: folder,
    env,
    stdio: ['pipe', out, 'pipe']
  })
  const [chunks, said]: [Buffer[], Buffer[]] = [[], []]
  child.stdout?.on('data', (chunk) => chunks.push(chunk))
  child.stderr?.on('data', (chunk) => said.push(chunk))
  child.stdin?.end(stdin)
  const [code] = await once(child, 'close')
  const bytes = Buffer.concat(chunks)
  return { code, bytes, stdout: bytes.toString(), stderr: Buffer.concat(said).toString() }
}

const each = ['--each', '-', '--shell']

test('an output that cannot be put in its place has failed, and the others come', async () => {
  await mkdir(join(folder, 'o1'))
  const args = [...each, '--out', 'o{}', '--', '[ {} = 1 ] || sleep 1; echo {} > o{}; echo done {}']
  const { code, stdout, stderr } = await shoal('run', args, '1\n2\n3\n')
  expect([code, stdout]).toEqual([1, 'done 2\ndone 3\n'])
  expect(stderr).toMatch(/^1: SHOAL_DISK: o1 cannot be written \(.*\)\n$/)
  expect(await readFile(join(folder, 'o3'), 'utf8')).toBe('3\n')
  const again = JSON.parse((await shoal('run', ['--json', ...args], '1\n2\n')).stdout)
  expect(again.results).toMatchObject([null, { input: '2', files: ['o2'] }])
  expect(again.errors).toMatchObject([{ index: 0, input: '1', code: 'SHOAL_DISK' }])
})

test('inputs that would write one file are refused, however it is spelled', async () => {
  const args = [...each, '--out', '{}.o', '--', 'echo from {} > {}.o']
  const { code, stderr } = await shoal('run', args, 'x\n./x\n')
  expect(code).toBe(2)
  expect(stderr).toContain('x and ./x would both write x.o')
})

test('JSON is whole, also if the command ends by an error', async () => {
  const twice = await shoal('run', ['--json', ...each, '--out', '{}.o', '--', 'echo > {}.o'], 'a\na\n')
  expect(twice.code).toBe(2)
  const { job, results, errors } = JSON.parse(twice.stdout)
  expect([typeof job, results.length <= 1]).toEqual(['string', true])
  expect(errors.at(-1)).toEqual({ code: 'SHOAL_BAD_OPTION', message: expect.stringContaining('both write') })
  await writeFile(join(folder, 'm.mjs'), 'export default (x) => x')
  const odd = await shoal('map', ['--json', '--json-lines', 'm.mjs', '-'], '1\n{\n')
  expect(odd.code).toBe(2)
  expect(JSON.parse(odd.stdout).errors.at(-1)).toMatchObject({ code: 'SHOAL_BAD_OPTION' })
})

test('what a program printed is what it was, and what was not kept is said', async () => {
  const script = `printf '\\377\\201'; seq 100000 >&2`
  const { code, bytes, stderr } = await shoal('run', ['--name', 'odd', '--shell', '--', script])
  expect([code, [...bytes]]).toEqual([0, [0o377, 0o201]])
  expect(stderr).toContain('it wrote 588895 bytes to stderr, of which the last are kept')
  const jobs = JSON.parse((await shoal('jobs', ['--json'])).stdout) as { id: string; name: string }[]
  const id = jobs.find(({ name }) => name === 'odd')?.id ?? ''
  expect([...(await shoal('result', [id])).bytes]).toEqual([0o377, 0o201])
  const large = ['--json', '--shell', '--', `printf '\\377'; head -c 1500000 /dev/zero`]
  const [one] = JSON.parse((await shoal('run', large)).stdout).results
  expect(one.written.stdout).toBe(1_500_001)
  expect(Buffer.from(one.stdoutBase64, 'base64').subarray(0, 2)).toEqual(Buffer.of(0o377, 0))
})

test.runIf(existsSync('/dev/full'))('results that a full disk does not take are told', async () => {
  const full = await shoal('run', ['--', 'echo', 'hi'], '', '/dev/full')
  expect(full.code).toBe(1)
  expect(full.stderr).toMatch(/^SHOAL_DISK: results of job .* cannot be written \(ENOSPC.*; make room/m)
})

test('of a program that failed, what went to a file is shown, and what it printed until a limit ended it', async () => {
  const args = ['--stdout', 'log.txt', '--shell', '--', 'echo precious; exit 3']
  expect(await shoal('run', args)).toMatchObject({ code: 1, stdout: 'precious\n' })
  const slow = ['--task-timeout', '1', '--shell', '--', 'echo before; echo why >&2; exec sleep 600']
  const plain = await shoal('run', slow)
  expect([plain.code, plain.stdout]).toEqual([1, 'before\n'])
  expect(plain.stderr).toMatch(/^why\n.*TASK_TIMEOUT/)
  const { job, errors } = JSON.parse((await shoal('run', ['--json', ...slow])).stdout)
  const exit = { signal: 'SIGTERM', stdout: 'before\n', stderr: 'why\n' }
  expect(errors).toMatchObject([{ code: 'TASK_TIMEOUT', ...exit }])
  const told = JSON.parse((await shoal('result', [job, '--json'])).stdout)
  expect(told.errors).toMatchObject([{ code: 'TASK_TIMEOUT', exit }])
  expect(await shoal('result', [job, '-v'])).toMatchObject({
    stdout: 'before\n',
    stderr: expect.stringContaining('[0] why\n')
  })
})

test('a line that is too long for an input is refused here, and no input is told whole', async () => {
  const long = 'x'.repeat(140_000)
  const { code, stdout, stderr } = await shoal('run', ['--each', '-', '--', 'wc', '-c'], `${long}\n`)
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).toBe(
    'SHOAL_BAD_VALUE: input 1 has 140000 characters, more than 131072; put it into a file, and give its name instead; input 1 and what follows it were not submitted\n'
  )
  const failing = await shoal('run', ['--each', '-', '--shell', '--', 'false'], `${long.slice(9_000)}\n`)
  expect(failing).toMatchObject({ code: 1, stderr: expect.stringMatching(/^x{100}…: TASK_EXIT/) })
  expect(failing.stderr.length).toBeLessThan(1_000)
  const nowhere = await shoal('run', ['--each', '-', '--file', '{}', '--', 'cat'], `${long.slice(9_000)}\n`)
  expect(nowhere.code).toBe(2)
  expect(nowhere.stderr.length).toBeLessThan(1_000)
})
