/**
 * Programs on real nodes, as people run them: `shoal run` and `mesh.run()`, judged by what a plain loop gives.
 *
 * Not here: one program in detail (test/tasks/executor/programs.test.ts).
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Client, connect, saveFiles, TaskError } from '../../src/index.ts'
import { until } from '../conformance/mesh.ts'
import { programOf, withBuilt } from './prepare.ts'
import { Lab, type NodeProcess, untilMeshed } from './processes.ts'

const command = programOf(new URL('../../bin/shoal.ts', import.meta.url))
/** `npm run test:long` has the full sizes. */
const isLong = process.env.SHOAL_LONG !== undefined
vi.setConfig({ testTimeout: isLong ? 1_800_000 : 300_000, hookTimeout: 120_000 })

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

let lab: Lab
let nodes: NodeProcess[]
let client: Client

beforeAll(async () => {
  lab = await Lab.open()
  const more = { allowRun: true }
  const first = await lab.start('n1', [], { more })
  const others = ['n2', 'n3'].map((name) => lab.start(name, [first], { more }))
  nodes = [first, ...(await Promise.all(others))]
  client = await connect({
    key: lab.key,
    peers: nodes.map(({ address }) => address),
    mdns: false,
    timeout: 60_000
  })
  await untilMeshed(client, 3)
})
afterAll(async () => {
  await client?.close()
  await lab?.close()
})

/** A folder for one test. */
async function folderOf(name: string): Promise<string> {
  const folder = join(lab.folder, `at-${name}`)
  await mkdir(folder)
  return folder
}

function start(cwd: string, args: readonly string[], { peers = nodes, verb = 'run' } = {}): ChildProcess {
  const near = peers.flatMap(({ address }) => ['--peer', address])
  const { SHOAL_KEY, SHOAL_PEERS, ...env } = process.env
  // A busy machine takes its time.
  const all = [command, verb, '--key', lab.keyFile, '--no-mdns', '--timeout', '60', ...near, ...args]
  return spawn(process.execPath, all, { cwd, env, stdio: 'pipe' })
}

async function ended(child: ChildProcess, stdin = ''): Promise<Ended> {
  const said = { stdout: '', stderr: '' }
  child.stdout?.setEncoding('utf8').on('data', (text) => {
    said.stdout += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text) => {
    said.stderr += text
  })
  child.stdin?.end(stdin)
  const [code] = await once(child, 'close')
  return { code, ...said }
}

const shoal = (cwd: string, args: readonly string[], stdin = ''): Promise<Ended> =>
  ended(start(cwd, args), stdin)

const SWEEP = `
import json, math, sys
from random import Random
for name in sys.argv[1:]:
    with open(name) as file:
        point = json.load(file)
    draw = Random(point["seed"])
    inside = sum(math.hypot(draw.random(), draw.random()) <= point["radius"] for _ in range(1000))
    print(json.dumps({"seed": point["seed"], "share": inside / 1000}))
`

/** Not a launcher that looks for the right version each time: that takes longer than all that is run here. */
const python = execFileSync('python3', ['-c', 'import sys; print(sys.executable)'], {
  encoding: 'utf8'
}).trim()
/** Without what the machine's owner has installed beside it, which takes half of its start. */
const bare = ['-I', '-S']

/** A parameter sweep: a script, its inputs, and what it prints if it loops over them by itself. */
async function sweep(folder: string, count: number): Promise<string> {
  await writeFile(join(folder, 'sweep.py'), SWEEP)
  await mkdir(join(folder, 'points'))
  for (let i = 0; i < count; i++) {
    const point = { seed: i, radius: 0.5 + i / count }
    await writeFile(join(folder, 'points', `${String(i).padStart(4, '0')}.json`), JSON.stringify(point))
  }
  const names = await readdir(join(folder, 'points'))
  const args = ['sweep.py', ...names.sort().map((name) => `points/${name}`)]
  return execFileSync(python, [...bare, ...args], { cwd: folder, encoding: 'utf8' })
}

const gz = ['--each', '*.bin', '--out', '{}.gz', '--', 'gzip', '-k', '{}']

test('a sweep in Python over 200 inputs prints what a plain loop prints, also if a node is killed', async () => {
  const folder = await folderOf('sweep')
  const expected = await sweep(folder, 200)
  const victim = await lab.start('victim', nodes, { more: { allowRun: true }, slots: 2 })
  const child = start(folder, [
    '--file',
    'sweep.py',
    '--each',
    'points/*.json',
    '--',
    python,
    ...bare,
    'sweep.py',
    '{}'
  ])
  const end = ended(child)
  // Some are done by now, and many are not.
  await once(child.stdout as NodeJS.ReadableStream, 'data')
  await victim.kill()
  expect(await end).toEqual({ code: 0, stdout: expected, stderr: '' })
})

describe('gzip and back', () => {
  const [count, size] = isLong ? [100, 10_000_000] : [6, 1_000_000]

  test(`${count} files of ${size} bytes are the same afterwards`, async () => {
    const folder = await folderOf('gzip')
    const sums = new Map<string, string>()
    for (let i = 0; i < count; i++) {
      const name = `${i}.bin`
      // Half of it cannot be made smaller.
      const content = Buffer.concat([randomBytes(size / 2), Buffer.alloc(size / 2, i)])
      sums.set(name, createHash('sha256').update(content).digest('hex'))
      await writeFile(join(folder, name), content)
    }
    expect(await shoal(folder, gz)).toEqual({ code: 0, stdout: '', stderr: '' })
    const back = ['--each', '*.gz', '--out', '{.}', '--into', 'back', '--', 'gzip', '-d', '{}']
    expect(await shoal(folder, back)).toEqual({ code: 0, stdout: '', stderr: '' })
    for (const [name, sum] of sums) {
      const content = await readFile(join(folder, 'back', name))
      expect(createHash('sha256').update(content).digest('hex')).toBe(sum)
    }
    await rm(folder, { recursive: true })
  })
})

test('exit codes: 0 done, 1 some failed, 2 wrong usage, 3 no mesh; and what is said', async () => {
  const folder = await folderOf('codes')
  await writeFile(join(folder, 'a.txt'), 'a')
  const done = await shoal(folder, ['--', 'echo', 'one', 'two'])
  const exits = ['--each', '-', '--', 'sh', '-c', 'echo {}; echo oh {} >&2; exit {}']
  const failed = await shoal(folder, exits, '0\n3\n0\n')
  const missing = await shoal(folder, ['--each', 'a.txt', '--file', 'b.txt', '--', 'cat', '{}'])
  const none = await shoal(folder, ['echo', 'one'])
  const lost = ['--peer', '/ip4/127.0.0.1/tcp/1', '--timeout', '1', '--', 'true']
  const nowhere = await ended(start(folder, lost, { peers: [] }))
  const gone = await shoal(folder, ['--each', '-', '--file', '{}', '--', 'cat'], 'nowhere\n')
  const unmade = await shoal(folder, ['--out', 'never', '--', 'true'])
  const unknown = await shoal(folder, ['--', 'no-such-command'])
  const doubled = await shoal(folder, ['--each', '-', '--out', 'same', '--', 'touch', 'same'], 'x\ny\n')
  expect(done).toEqual({ code: 0, stdout: 'one two\n', stderr: '' })
  expect(failed).toMatchObject({ code: 1, stdout: '0\n3\n0\n' })
  expect(failed.stderr).toBe(
    "0: oh 0\n3: oh 3\n3: TASK_EXIT: `sh -c 'echo 3; echo oh 3 >&2; exit 3'` ended with exit code 3: oh 3\n0: oh 0\n"
  )
  expect(missing).toMatchObject({ code: 2, stdout: '' })
  expect(missing.stderr).toContain('SHOAL_BAD_OPTION: there is no file b.txt; nothing was submitted')
  expect(none).toMatchObject({ code: 2 })
  expect(nowhere).toMatchObject({ code: 3 })
  expect(gone).toMatchObject({ code: 2 })
  expect(gone.stderr).toContain('SHOAL_BAD_OPTION: there is no file nowhere; input 1 and')
  expect(unmade).toMatchObject({ code: 1 })
  expect(unmade.stderr).toContain('TASK_NO_OUTPUT: it did not make its output never')
  expect(unknown).toMatchObject({ code: 1 })
  expect(unknown.stderr).toContain('TASK_NO_COMMAND: no-such-command cannot be started on this node')
  expect(doubled).toMatchObject({ code: 2 })
  expect(doubled.stderr).toContain('x and y would both write same')
})

test('--resume leaves out what succeeded, prints it again, and does what is new or has changed', async () => {
  const folder = await folderOf('resume')
  const ran = join(folder, 'ran')
  for (const name of ['a', 'b', 'c']) await writeFile(join(folder, `${name}.in`), name)
  const script = `basename {} >> ${ran}; [ $(cat {}) != bad ] || exit 1; tr a-z A-Z < {} > {.}.out; echo did {}`
  const args = ['--resume', '--each', '*.in', '--out', '{.}.out', '--shell', '--', script]
  await writeFile(join(folder, 'b.in'), 'bad')
  const ranSince = async (): Promise<string[]> => {
    const names = (await readFile(ran, 'utf8').catch(() => '')).split('\n').filter(Boolean).sort()
    await rm(ran, { force: true })
    return names
  }
  expect(await shoal(folder, args)).toMatchObject({ code: 1, stdout: 'did a.in\ndid c.in\n' })
  expect(await ranSince()).toEqual(['a.in', 'b.in', 'c.in'])
  await writeFile(join(folder, 'b.in'), 'b')
  const again = { code: 0, stdout: 'did a.in\ndid b.in\ndid c.in\n', stderr: '' }
  expect(await shoal(folder, args)).toEqual(again)
  expect(await ranSince()).toEqual(['b.in'])
  // An output that is gone, and an input that is another one.
  await rm(join(folder, 'a.out'))
  await writeFile(join(folder, 'c.in'), 'd')
  expect(await shoal(folder, args)).toEqual(again)
  expect(await ranSince()).toEqual(['a.in', 'c.in'])
  const outs = await Promise.all(['a', 'b', 'c'].map((name) => readFile(join(folder, `${name}.out`), 'utf8')))
  expect(outs).toEqual(['A', 'B', 'D'])
  // Without the flag, all of it is done.
  expect(await shoal(folder, args.slice(1))).toEqual(again)
  expect(await ranSince()).toEqual(['a.in', 'b.in', 'c.in'])
})

test('--resume continues a plain run, also of what is no text, and says what it must do again', async () => {
  const folder = await folderOf('continued')
  const script = `echo {} >> ran; [ {} = 1 ] && printf '\\377\\0' || head -c {} /dev/zero | tr '\\0' x`
  const args = ['--each', '-', '--shell', '--', `cd ${folder}; ${script}`]
  const before = await shoal(folder, args, '1\n7\n1100000\n')
  expect(before).toMatchObject({ code: 0, stderr: expect.stringContaining('--resume does it again') })
  expect(await shoal(folder, ['--resume', ...args], '1\n7\n1100000\n')).toEqual(before)
  const ran = (await readFile(join(folder, 'ran'), 'utf8')).trim().split('\n')
  expect(ran.sort()).toEqual(['1', '1100000', '1100000', '7'])
  const alone = await shoal(folder, ['--resume', '--', 'true'])
  expect(alone).toMatchObject({ code: 2, stderr: expect.stringContaining('add --each') })
})

test('what a program wrote before it failed is shown as that of one that did not, and is in --json', async () => {
  const folder = await folderOf('failed')
  const args = ['--each', '-', '--shell', '--', 'echo found {}; echo odd {} >&2; exit {}']
  const plain = await shoal(folder, args, '0\n7\n')
  expect([plain.code, plain.stdout]).toEqual([1, 'found 0\nfound 7\n'])
  expect(plain.stderr).toContain('odd 7')
  const { job, errors } = JSON.parse((await shoal(folder, ['--json', ...args], '0\n7\n')).stdout)
  expect(errors).toMatchObject([{ input: '7', exitCode: 7, stdout: 'found 7\n', stderr: 'odd 7\n' }])
  const read = (...more: string[]): Promise<Ended> => ended(start(folder, [job, ...more], { verb: 'result' }))
  expect(await read()).toMatchObject({ code: 1, stdout: 'found 0\nfound 7\n' })
  const told = JSON.parse((await read('--json')).stdout)
  expect(told.errors).toMatchObject([{ index: 1, exit: { code: 7, stdout: 'found 7\n', stderr: 'odd 7\n' } }])
})

test('-v tells what programs print as they print it, each line with its input; results stay as they are', async () => {
  const folder = await folderOf('verbose')
  const go = join(folder, 'go')
  const script = `echo one {}; printf 'oh ' >&2; while [ ! -e ${go} ]; do sleep 0.02; done; echo no >&2; printf two; exit {}`
  const child = start(folder, ['-v', '--each', '-', '--shell', '--', script])
  const end = ended(child, '0\n3\n')
  let live = ''
  child.stderr?.on('data', (chunk) => {
    live += chunk
  })
  await until(() => live.includes('0: one 0\n') && live.includes('3: one 3\n'))
  await writeFile(go, '')
  const { code, stdout, stderr } = await end
  expect([code, stdout]).toEqual([1, 'one 0\ntwoone 3\ntwo'])
  const lines = stderr.split('\n').filter((line) => !line.includes('TASK_EXIT'))
  expect(lines.sort()).toEqual(['', '0: oh no', '0: one 0', '0: two', '3: oh no', '3: one 3', '3: two'])
})

test('by the API: files by name and content, environment, stdin, folders of outputs, failures that tell', async () => {
  const folder = await folderOf('api')
  const script =
    '#!/bin/sh\nmkdir out/{#}; sed "s/x/$WITH/" > out/{#}/text; cat common >> out/{#}/text; exit $1\n'
  const job = client.run({
    command: './bin/go',
    args: ['{}'],
    each: ['0', '4'],
    files: [
      { content: 'of all\n', as: 'common' },
      { content: script.replaceAll('{#}', 'n'), as: 'go.sh' }
    ],
    env: { WITH: 'y{}' },
    stdin: 'axa\n',
    outputs: ['out'],
    returnErrors: true
  })
  // What is sent as content is no program.
  expect((await job)[0]).toMatchObject({ code: 'TASK_NO_COMMAND' })
  const [good, bad] = await client.run({
    command: 'sh',
    args: ['-c', 'mkdir -p out/{#}; (sed "s/x/$WITH/"; cat common) > out/{#}/text; exit {}'],
    each: ['0', '4'],
    files: [{ content: 'of all\n', as: 'common' }],
    env: { WITH: 'y{}' },
    stdin: 'axa\n',
    outputs: ['out'],
    returnErrors: true
  })
  expect(good).toMatchObject({ input: '0', exitCode: 0, stdout: '' })
  expect(await saveFiles(client, good?.files ?? [], folder)).toEqual(['out/1/text'])
  expect(await readFile(join(folder, 'out/1/text'), 'utf8')).toBe('ay0a\nof all\n')
  expect(bad).toBeInstanceOf(TaskError)
  expect(bad).toMatchObject({ code: 'TASK_EXIT', exit: { code: 4, signal: null } })
  expect(() => client.run({ command: '' })).toThrow('`command` is the name or path of a program')
  await expect(client.run({ command: 'cat', each: ['nowhere'], files: ['{}'] })).rejects.toThrow(
    'there is no file nowhere; nothing was submitted'
  )
})

test('a killed node leaves no program and no folder behind', async () => {
  const folder = await folderOf('orphans')
  const lone = await Lab.open()
  const node = await lone.start('lone', [], { more: { allowRun: true } })
  const own = await connect({ key: lone.key, peers: [node.address], mdns: false, timeout: 60_000 })
  const pids = join(folder, 'pids')
  const script = `echo $$ > ${pids}; sleep 600 & echo $! >> ${pids}; mv ${pids} ${pids}.all; wait`
  const job = own.run({ command: script, shell: true })
  job.catch(() => {})
  while (!existsSync(`${pids}.all`)) await new Promise((resolve) => setTimeout(resolve, 20))
  const scratch = join(lone.folder, 'lone', 'scratch')
  expect(await readdir(scratch)).toHaveLength(1)
  await node.kill()
  const started = (await readFile(`${pids}.all`, 'utf8')).trim().split('\n')
  const isThere = (pid: string): boolean => {
    try {
      return !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ')
    } catch {
      return false
    }
  }
  while (started.some(isThere) || (await readdir(scratch)).length > 0)
    await new Promise((resolve) => setTimeout(resolve, 20))
  await own.close()
  await lone.close()
  expect(await stat(folder)).toBeDefined()
})

test('what cannot run anywhere is said at once, explained, and runs as soon as a node allows it', async () => {
  const lone = await Lab.open()
  const node = await lone.start('lone')
  const near = ['--key', lone.keyFile, '--no-mdns', '--timeout', '60', '--peer', node.address]
  const child = spawn(process.execPath, [command, 'run', ...near, '--', 'echo', 'at last'], {
    stdio: 'pipe'
  })
  const end = ended(child)
  const [said] = await once(child.stderr, 'data')
  expect(String(said)).toContain('no node that is up runs programs; start one with `shoal up --allow-run`')
  const own = await connect({ key: lone.key, peers: [node.address], mdns: false, timeout: 60_000 })
  // It is said before the job is submitted.
  let id: string | undefined
  await until(async () => {
    id = (await own.jobs())[0]?.id
    return id !== undefined
  })
  const { state, nodes: all } = await own.explain(`${id}:0`)
  expect(state).toBe('waiting')
  expect(all.flatMap(({ missing }) => missing)).toMatchObject([{ blockedBy: 'label', name: 'allow-run' }])
  const asked = await ended(
    spawn(process.execPath, [command, 'explain', `${id}:0`, ...near], { stdio: 'pipe' })
  )
  expect(asked.stdout).toContain('runs no programs: it was started without --allow-run')
  await lone.start('willing', [node], { more: { allowRun: true } })
  expect(await end).toMatchObject({ code: 0, stdout: 'at last\n' })
  const needy = ['--requires', '{"labels":{"cuda":true},"resources":{"gpu":2}}', '--', 'true']
  const other = spawn(process.execPath, [command, 'run', ...near, ...needy], { stdio: 'pipe' })
  const [lacking] = await once(other.stderr, 'data')
  expect(String(lacking)).toMatch(
    /^no node that is up can run this \(.+\); `shoal status` tells .+ Waiting\.\n$/
  )
  for (const lack of ['label cuda is not there, wants true', 'has 0 of gpu, wants 2', 'without --allow-run'])
    expect(String(lacking)).toContain(lack)
  const otherEnd = ended(other)
  other.kill('SIGINT')
  expect((await otherEnd).code).toBe(1)
  await own.close()
  await lone.close()
})

test('the example: a sweep over a folder of parameters', async () => {
  const folder = fileURLToPath(new URL('../../examples/sweep', import.meta.url))
  const env = { ...withBuilt(), PATH: `${dirname(python)}:${process.env.PATH}` }
  // Listened to from its start: its pipes would be gone when the loop, which blocks, is over.
  const end = ended(spawn(process.execPath, [join(folder, 'sweep.ts')], { env, stdio: 'pipe' }))
  const names = (await readdir(join(folder, 'points'))).sort().map((name) => `points/${name}`)
  const loop = names.map((name) =>
    execFileSync(python, ['sweep.py', name], { cwd: folder, encoding: 'utf8' })
  )
  expect(await end).toEqual({ code: 0, stdout: loop.join(''), stderr: '' })
})
