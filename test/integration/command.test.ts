/**
 * The command as people use it: real processes on the loopback interface, judged by what they print and their exit codes.
 *
 * Not here: tables and arguments in detail (test/bin). Nothing sleeps: whoever waits, waits for output.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { programOf } from './prepare.ts'

const launcher = fileURLToPath(new URL('../../bin/shoal.js', import.meta.url))
const command = programOf(new URL('../../bin/shoal.ts', import.meta.url))
const loopback = ['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns']

const work = `
import { setTimeout as sleep } from 'node:timers/promises'
export default (text: string): string => text.toUpperCase()
export const increment = (n: number): number => n + 1
export const picky = (text: string): { text: string } => {
  if (text === 'bad') throw new TypeError('not\\x1b[31m this')
  return { text }
}
export const slow = async (text: string): Promise<string> => {
  if (text === 'slow') await sleep(600_000)
  if (text === 'bad') throw new Error('bad')
  return text
}
`

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** One run of the command, whose output can be waited for. */
class Run {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  stdout = ''
  stderr = ''

  constructor(
    args: readonly string[],
    { cwd = folder, env = {}, stdin = '' as string | 'open', by = [command] } = {}
  ) {
    const { SHOAL_KEY, SHOAL_PEERS, SHOAL_DEBUG, ...others } = process.env
    const options = { cwd, env: { ...others, ...env }, stdio: 'pipe' } as const
    this.child = spawn(process.execPath, [...by, ...args], options)
    this.child.stdout?.setEncoding('utf8').on('data', (text) => {
      this.stdout += text
    })
    this.child.stderr?.setEncoding('utf8').on('data', (text) => {
      this.stderr += text
    })
    this.child.stdin?.on('error', () => {})
    if (stdin !== 'open') this.child.stdin?.end(stdin)
    runs.add(this)
    this.ended = once(this.child, 'close').then(([code]) => {
      runs.delete(this)
      return { code, stdout: this.stdout, stderr: this.stderr }
    })
  }

  /** Resolves with all of stdout once it holds `text`; rejects if the process ends before. */
  async says(text: string): Promise<string> {
    while (!this.stdout.includes(text)) {
      const more = this.child.stdout
        ? once(this.child.stdout, 'data')
        : Promise.reject(new Error('no stdout'))
      const early = this.ended.then((end) => {
        if (!this.stdout.includes(text))
          throw new Error(`ended without ${JSON.stringify(text)}: ${JSON.stringify(end)}`)
      })
      await Promise.race([more, early])
    }
    return this.stdout
  }
}

const runs = new Set<Run>()
let folder = ''
let peer = ''

const shoal = (...args: string[]): Promise<Ended> => new Run(args).ended
const near = (): string[] => ['--peer', peer, '--no-mdns']
const ask = (verb: string, ...args: string[]): Promise<Ended> => shoal(verb, ...near(), ...args)

async function startNode(...args: string[]): Promise<{ run: Run; id: string; address: string }> {
  const run = new Run(['up', ...loopback, '--json', ...args])
  const { id, addresses } = JSON.parse(await run.says('\n'))
  return { run, id, address: addresses[0] }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-command-'))
  await writeFile(join(folder, 'work.ts'), work)
  const made = await shoal('init')
  expect(made).toMatchObject({ code: 0, stderr: '' })
  expect(made.stdout).toContain('Next: start a node here with `shoal up`')
  const started = await startNode(
    '--slots',
    '2',
    '--label',
    'gpu=a100',
    '--zone',
    'room-12',
    '--data',
    'state'
  )
  peer = started.address
})

afterAll(async () => {
  const ended = [...runs].map((run) => {
    run.child.kill('SIGTERM')
    return run.ended
  })
  await Promise.all(ended)
  await rm(folder, { recursive: true })
})

describe('help', () => {
  test('is there for everything, and for who mistyped', async () => {
    const [all, one, flag, version, none, typo] = await Promise.all([
      shoal('--help'),
      shoal('help', 'map'),
      shoal('result', 'x', '--help'),
      shoal('--version'),
      shoal(),
      shoal('stauts')
    ])
    expect(all).toMatchObject({ code: 0, stderr: '' })
    for (const verb of ['init', 'up', 'status', 'map', 'jobs', 'result', 'cancel'])
      expect(all.stdout).toMatch(new RegExp(`^  ${verb} `, 'm'))
    expect(one.stdout).toMatch(/^usage: shoal map FILE/)
    expect(flag.stdout).toMatch(/^usage: shoal result ID/)
    expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
    expect(none).toMatchObject({ code: 2, stdout: '', stderr: all.stdout })
    const advice = 'SHOAL_BAD_OPTION: there is no command "stauts"; did you mean `shoal status`?\n'
    expect(typo).toEqual({ code: 2, stdout: '', stderr: advice })
  })
})

describe('a node', () => {
  test('tells what it is, and is found on its machine without an address', async () => {
    const [table, found] = await Promise.all([ask('status'), shoal('status', '--no-mdns', '--json')])
    expect(table).toMatchObject({ code: 0, stderr: '' })
    expect(table.stdout).toMatch(/^id +address +slots/)
    expect(table.stdout).toContain('zone=room-12 gpu=a100')
    expect(JSON.parse(found.stdout)).toMatchObject({
      silent: 0,
      nodes: [{ slots: 2, labels: { gpu: 'a100' }, zone: 'room-12' }]
    })
  })

  test('stops in good order, and leaves its port and folder to the next, which joins the mesh', async () => {
    const first = await startNode('--data', 'other')
    const port = first.address.replace(/\/p2p\/.*/, '')
    const [inUse, taken] = await Promise.all([
      shoal('up', ...loopback, '--data', 'other'),
      shoal('up', '--no-mdns', '--listen', port)
    ])
    expect(inUse).toMatchObject({ code: 2, stdout: '' })
    expect(inUse.stderr).toMatch(/^SHOAL_DATA_IN_USE: another node runs on \/.*\/other; .*--data folder\n$/)
    expect(taken).toMatchObject({ code: 2, stdout: '' })
    expect(taken.stderr).toMatch(
      /^SHOAL_PORT_TAKEN: .*; stop that process, or choose another port with --listen.*\n$/m
    )
    first.run.child.kill('SIGTERM')
    expect(await first.run.ended).toMatchObject({ code: 0 })
    const again = await startNode('--data', 'other', '--listen', port, '--slots', '0', '--peer', peer)
    expect(again.id).toBe(first.id)
    const ids = async (): Promise<string[]> =>
      JSON.parse((await ask('status', '--json')).stdout).nodes.map(({ id }: { id: string }) => id)
    let known = await ids()
    while (!known.includes(again.id)) known = await ids()
    expect(known).toHaveLength(2)
    again.run.child.kill('SIGINT')
    expect(await again.run.ended).toMatchObject({ code: 0 })
  })
})

describe('map', () => {
  test('prints results in input order, as texts or as JSON', async () => {
    const [texts, numbers] = await Promise.all([
      ask('map', 'work.ts', 'b', 'a', 'work.*'),
      ask('map', 'work.ts#increment', '1', '41', '--json-lines')
    ])
    expect(texts).toEqual({ code: 0, stdout: 'B\nA\nWORK.TS\n', stderr: '' })
    expect(numbers).toEqual({ code: 0, stdout: '2\n42\n', stderr: '' })
  })

  test('tells which tasks failed and still prints the others', async () => {
    const [text, json, file] = await Promise.all([
      ask('map', 'work.ts#picky', 'a', 'bad', 'c'),
      ask('map', 'work.ts#picky', 'a', 'bad', 'c', '--json'),
      ask('map', 'work.ts#picky', 'a', 'bad', '--out', 'out.txt', '--progress')
    ])
    const failure = 'input 1: TypeError: not [31m this\n'
    expect(text).toEqual({ code: 1, stdout: '{"text":"a"}\n{"text":"c"}\n', stderr: failure })
    expect(JSON.parse(json.stdout)).toMatchObject({
      job: expect.any(String),
      results: [{ text: 'a' }, null, { text: 'c' }],
      errors: [{ index: 1, code: 'TASK_FAILED', name: 'TypeError' }]
    })
    expect(file).toMatchObject({ code: 1, stdout: '' })
    expect(file.stderr).toContain('2/2 done, 1 failed')
    expect(await readFile(join(folder, 'out.txt'), 'utf8')).toBe('{"text":"a"}\n')
    expect((await readdir(folder)).filter((name) => name.endsWith('.part'))).toEqual([])
  })

  test('reads stdin as it comes and prints before it ends', async () => {
    const run = new Run(['map', 'work.ts', '-', ...near()], { stdin: 'open' })
    run.child.stdin?.write('one\ntwo\n')
    await run.says('ONE\nTWO\n')
    run.child.stdin?.end('three')
    expect(await run.ended).toEqual({ code: 0, stdout: 'ONE\nTWO\nTHREE\n', stderr: '' })
  })

  test('is cancelled by Ctrl-C, and by who reads no further', async () => {
    const cancelled = new Run(['map', 'work.ts#slow', 'a', 'slow', ...near()])
    await cancelled.says('a\n')
    cancelled.child.kill('SIGINT')
    const { code, stderr } = await cancelled.ended
    expect(code).toBe(1)
    expect(stderr).toMatch(/^SHOAL_CANCELLED: job \S+ was cancelled; 1 of 2 tasks had ended before\n$/)
    const unread = new Run(['map', 'work.ts', '-', ...near()], { stdin: 'open' })
    unread.child.stdin?.write('one\n')
    await unread.says('ONE\n')
    unread.child.stdout?.destroy()
    // One more result shows it, and nothing comes after that.
    unread.child.stdin?.write('two\n')
    expect((await unread.ended).code).toBe(1)
  })

  test('stops at the first failure if it is asked to', async () => {
    const inputs = ['bad', 'slow', 'slow']
    const { code, stdout, stderr } = await ask('map', 'work.ts#slow', ...inputs, '--no-keep-going')
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/^input 0: Error: bad\nSHOAL_CANCELLED: .*; 1 of 3 tasks had ended before\n$/)
  })
})

describe('a detached job', () => {
  test('is listed, read and cancelled by its id', async () => {
    const detached = await new Run(['map', 'work.ts', '-', '--detach', '--name', 'shout', ...near()], {
      stdin: 'x\ny\n'
    }).ended
    expect(detached).toMatchObject({ code: 0, stderr: '' })
    const id = detached.stdout.trim()
    const [result, json] = await Promise.all([ask('result', id), ask('result', id, '--json')])
    expect(result).toEqual({ code: 0, stdout: 'X\nY\n', stderr: '' })
    expect(JSON.parse(json.stdout)).toEqual({ job: id, results: ['X', 'Y'], errors: [] })
    const [jobs, list, late] = await Promise.all([ask('jobs'), ask('jobs', '--json'), ask('cancel', id)])
    expect(jobs.stdout).toMatch(new RegExp(`^${id} +shout +.* +2/2 +done$`, 'm'))
    expect(JSON.parse(list.stdout)[0]).toMatchObject({ id, name: 'shout', tasks: 2, done: 2, isClosed: true })
    expect(late).toEqual({ code: 0, stdout: `job ${id} had ended: nothing was left to cancel\n`, stderr: '' })
  })

  test('goes on without its reader until it is cancelled', async () => {
    const detached = await ask('map', 'work.ts#slow', 'a', 'slow', 'slow', '--detach', '--json')
    const { job: id } = JSON.parse(detached.stdout)
    const reader = new Run(['result', id, ...near()])
    await reader.says('a\n')
    reader.child.kill('SIGINT')
    await reader.ended
    const follower = new Run(['result', id, ...near()])
    await follower.says('a\n')
    const cancel = await ask('cancel', id)
    expect(cancel).toEqual({
      code: 0,
      stdout: `cancelled 2 tasks of job ${id}; 1 had ended before\n`,
      stderr: ''
    })
    expect(await follower.ended).toMatchObject({ code: 1, stdout: 'a\n' })
    await ask('map', 'work.ts#picky', 'a', 'bad', '--name', 'half')
    const [text, json] = await Promise.all([ask('jobs'), ask('jobs', '--json')])
    expect(text.stdout).toMatch(new RegExp(`^${id} .* +3/3 +done, 2 cancelled$`, 'm'))
    expect(text.stdout).toMatch(/ half .* +2\/2 +done, 1 failed$/m)
    const [half, slow] = JSON.parse(json.stdout)
    expect(half).toMatchObject({ name: 'half', done: 2, failed: 1, cancelled: 0 })
    expect(slow).toMatchObject({ id, done: 3, failed: 0, cancelled: 2 })
  })
})

describe('errors', () => {
  test('say what is wrong on this machine before any node is asked', async () => {
    const bare = join(folder, 'bare')
    await mkdir(bare)
    await writeFile(join(folder, 'torn.key'), 'shoal-key-1 abc')
    const ended = await Promise.all([
      new Run(['status'], { cwd: bare }).ended,
      shoal('status', '--key', 'none.key'),
      shoal('status', '--key', 'torn.key'),
      shoal('init'),
      shoal('map', 'none.ts', 'x'),
      shoal('map', 'work.ts#render', 'x'),
      shoal('map', 'work.ts', '*.nope'),
      shoal('map', 'work.ts', 'x', '--json-lines'),
      shoal('up', '--sloots', '4')
    ])
    expect(ended.map(({ code, stdout }) => ({ code, stdout }))).toEqual(
      ended.map(() => ({ code: 2, stdout: '' }))
    )
    expect(ended.map(({ stderr }) => stderr)).toEqual([
      expect.stringMatching(
        /^SHOAL_BAD_KEY: no mesh key, .*--key FILE or set \$SHOAL_KEY, .*`shoal init lab.key`\n$/
      ),
      'SHOAL_BAD_KEY: no key at none.key; make one with `shoal init none.key`\n',
      'SHOAL_BAD_KEY: torn.key is no mesh key; copy it again, or make one with `shoal init`\n',
      'SHOAL_BAD_KEY: lab.key exists and is not overwritten; use it, or choose another name\n',
      expect.stringMatching(
        /^SHOAL_BAD_FUNCTION: there is no file none.ts; give the path of a module, .*\n$/
      ),
      expect.stringMatching(/^SHOAL_BAD_FUNCTION: .* has no export `render`; it exports `default`, .*\n$/),
      expect.stringMatching(/^SHOAL_BAD_OPTION: no file matches \*\.nope; .*\n$/),
      expect.stringMatching(/^SHOAL_BAD_OPTION: the input "x" is no JSON; .*\n$/),
      'SHOAL_BAD_OPTION: `shoal up` has no flag --sloots; did you mean --slots?\n'
    ])
  })

  test('tell a mesh that is not there from one that is not ours', async () => {
    await shoal('init', 'other.key')
    const [none, refused, unknown, noId] = await Promise.all([
      shoal('jobs', '--peer', '/ip4/127.0.0.1/tcp/1', '--timeout', '0.3'),
      ask('jobs', '--key', 'other.key'),
      ask('result', 'abcdefgh12345678'),
      ask('cancel', 'x')
    ])
    expect(none).toMatchObject({ code: 3, stdout: '' })
    expect(none.stderr).toMatch(/^SHOAL_NO_MESH: no node at .*; is a node running there\?\n$/)
    expect(refused).toMatchObject({ code: 3, stdout: '' })
    expect(refused.stderr).toMatch(/^SHOAL_REFUSED: .*another mesh key.*; use the key file of its mesh\n$/)
    expect(unknown).toMatchObject({ code: 2, stdout: '' })
    expect(unknown.stderr).toMatch(
      /^SHOAL_NOT_FOUND: no node .* knows the job abcdefgh12345678; `shoal jobs` lists/
    )
    expect(noId.stderr).toBe(
      'SHOAL_NOT_FOUND: "x" is no id of a job; `shoal jobs` lists those that are known\n'
    )
  })

  test('show a stack only to who asks for it', async () => {
    const { stderr } = await new Run(['nope'], { env: { SHOAL_DEBUG: '1' } }).ended
    expect(stderr).toMatch(/there is no command "nope".*\n +at /)
  })
})

test('drain without an id lets the node go that is asked, or else that of this machine, also as the last one', async () => {
  await shoal('init', 'own.key')
  const own = ['--key', 'own.key']
  const last = await startNode(...own)
  const first = await startNode(...own, '--peer', last.address)
  const both = ['--peer', first.address, '--peer', last.address]
  expect(await shoal('drain', ...own, ...both)).toMatchObject({ code: 2 })
  const left = { code: 0, stderr: '' }
  expect(await shoal('drain', ...own, '--peer', first.address)).toEqual({
    ...left,
    stdout: `node ${first.id} has left\n`
  })
  expect(await first.run.ended).toMatchObject({ code: 0 })
  expect(await shoal('drain', ...own)).toEqual({
    ...left,
    stdout: `node ${last.id} has left; no other node took over: its own output says what was lost with it, if anything\n`
  })
  expect(await last.run.ended).toMatchObject({ code: 0 })
})

describe('an old Node.js', () => {
  const old = 'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.1.0" } })'
  const asOld = ['--import', `data:text/javascript,${encodeURIComponent(old)}`]

  test('is told what it takes, or replaced by the one that came along', async () => {
    const root = join(folder, 'package')
    await mkdir(join(root, 'bin'), { recursive: true })
    await mkdir(join(root, 'dist'), { recursive: true })
    await mkdir(join(root, 'node_modules', 'node', 'bin'), { recursive: true })
    await copyFile(launcher, join(root, 'bin', 'shoal.js'))
    await writeFile(join(root, 'package.json'), '{ "type": "module" }')
    const waits = "process.on('SIGTERM', () => process.exit(7)); setInterval(() => {}, 1000)"
    const built = `${waits}; console.log(process.argv.slice(2).join())`
    await writeFile(join(root, 'dist', 'shoal.js'), built)
    const by = [...asOld, join(root, 'bin', 'shoal.js')]
    const refused = await new Run(['up'], { by }).ended
    expect(refused).toMatchObject({ code: 2, stdout: '' })
    expect(refused.stderr).toMatch(
      /^SHOAL_OLD_NODE: shoal needs Node.js 22.18 or newer, this is 20.1.0; install/
    )
    await symlink(process.execPath, join(root, 'node_modules', 'node', 'bin', 'node'))
    const replaced = new Run(['up', '--json'], { by })
    await replaced.says('up,--json\n')
    replaced.child.kill('SIGTERM')
    expect(await replaced.ended).toMatchObject({ code: 7, stderr: '' })
  })
})
