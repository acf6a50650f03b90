/**
 * What the command says of what cannot be: jobs that nobody knows, texts that are none, disks that are full.
 *
 * Not here: wrong values of flags (test/bin/advice.test.ts).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { writeKey } from '../../src/index.ts'
import { Mesh } from '../conformance/mesh.ts'
import { programOf } from './prepare.ts'

const command = programOf(new URL('../../bin/shoal.ts', import.meta.url))
let mesh: Mesh

beforeAll(async () => {
  mesh = await Mesh.open(1, { slots: 1 })
  await writeKey(join(mesh.folder, 'lab.key'), mesh.key)
  await writeFile(join(mesh.folder, 'work.mjs'), 'export default (text) => text')
})
afterAll(() => mesh.close())

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const start = (...args: readonly string[]): ChildProcess => startTo('pipe', ...args)

function startTo(stdout: 'pipe' | number, ...args: readonly string[]): ChildProcess {
  const { SHOAL_DEBUG: _, ...others } = process.env
  const env = { ...others, SHOAL_PEERS: mesh.nodes[0]?.addresses[0] }
  const [verb = '', ...rest] = args
  return spawn(process.execPath, [command, verb, '--no-mdns', '--timeout', '60', ...rest], {
    cwd: mesh.folder,
    env,
    stdio: ['pipe', stdout, 'pipe']
  })
}

async function ended(child: ChildProcess, stdin: string | Uint8Array = ''): Promise<Ended> {
  child.stdin?.end(stdin)
  const [stdout, stderr, [code]] = await Promise.all([
    child.stdout?.setEncoding('utf8').toArray(),
    child.stderr?.setEncoding('utf8').toArray(),
    once(child, 'exit')
  ])
  return { code, stdout: stdout?.join('') ?? '', stderr: stderr?.join('') ?? '' }
}

test('a job that nobody knows is not found, by whichever command', async () => {
  const job = mesh.client.map((x: number) => x, [1])
  await job
  const asked = [
    ['result', 'abcdefgh12345678'],
    ['explain', 'abcdefgh12345678'],
    ['explain', 'abcdefgh12345678', '--json']
  ]
  for (const args of asked)
    expect(await ended(start(...args))).toEqual({
      code: 2,
      stdout: '',
      stderr:
        'SHOAL_NOT_FOUND: no node that could be asked knows the job abcdefgh12345678; `shoal jobs` lists those that are known\n'
    })
  expect(await ended(start('explain', `${job.id}:7`))).toEqual({
    code: 2,
    stdout: '',
    stderr: `SHOAL_NOT_FOUND: no node that could be asked knows the task ${job.id}:7\n`
  })
})

/** A node that is not up. */
const away = `12D3KooW${'x'.repeat(44)}`

test('the end of an id is the node that it is shown of, if it is of one only', async () => {
  const { id } = mesh.nodes[0] as { id: string }
  const status = await ended(start('status'))
  const short = status.stdout.split('\n')[1]?.split(' ')[0] ?? ''
  expect(id.endsWith(short) && id.length > short.length).toBe(true)
  for (const target of [short, `${short}/0`])
    expect(await ended(start('map', 'work.mjs', 'a', '--target', target))).toEqual({
      code: 0,
      stdout: 'a\n',
      stderr: ''
    })
  const unknown = 'SHOAL_NOT_FOUND: no node xx is up; see `shoal status` (one that is not up is named by its '
  for (const args of [
    ['map', 'work.mjs', 'a', '--target', 'xx'],
    ['drain', 'xx']
  ])
    expect(await ended(start(...args))).toEqual({
      code: 2,
      stdout: '',
      stderr: `${unknown}whole id, which \`shoal up\` prints)\n`
    })
})

test('who maps what no node can run is told so at once, and for what is waited', async () => {
  const cases = [
    [['--target', away], 'none of its targets'],
    [['--requires', '{"labels":{"gpu":true}}'], 'label gpu is not there, wants true'],
    [['--requires', '{"resources":{"gpu":2}}'], 'has 0 of gpu, wants 2']
  ] as const
  await Promise.all(
    cases.map(async ([flags, why]) => {
      const child = start('map', 'work.mjs', 'a', ...flags)
      const end = ended(child)
      await once(child.stderr as NodeJS.ReadableStream, 'data')
      child.kill('SIGINT')
      const [told, cancelled] = (await end).stderr.split('\n')
      const job = /job (\S+) was cancelled/.exec(cancelled ?? '')?.[1]
      expect(told).toBe(
        `no node that is up can run job ${job} (${why}); \`shoal explain ${job}\` tells more. Waiting.`
      )
    })
  )
  const { id } = mesh.nodes[0] as { id: string }
  const fits = await ended(start('map', 'work.mjs', 'a', '--target', `${id}/0`, '--target', away))
  expect(fits).toEqual({ code: 0, stdout: 'a\n', stderr: '' })
  const detached = await ended(start('map', 'work.mjs', 'a', '--detach', '--target', `${id}/7`))
  expect(detached).toMatchObject({ code: 0, stderr: expect.stringContaining(detached.stdout.trim()) })
})

test('a line of stdin that is no UTF-8 is refused, and goes nowhere as another text', async () => {
  const lines = Buffer.from('fine\ncaf\xe9\n', 'latin1')
  const refused =
    /SHOAL_BAD_OPTION: line 2 of stdin is no UTF-8; convert it, as `iconv -f latin1 -t utf-8` does\n$/
  for (const args of [
    ['map', '--json', 'work.mjs', '-'],
    ['run', '--json', '--each', '-', '--', 'printf', '%s']
  ]) {
    const { code, stderr } = await ended(start(...args), lines)
    expect(stderr).toMatch(refused)
    expect(code).toBe(2)
  }
})

test.runIf(existsSync('/dev/full'))(
  'what a full disk does not take is told, and a reader who left is not',
  async () => {
    const full = await open('/dev/full', 'w')
    for (const args of [['jobs', '--json'], ['status']])
      expect(await ended(startTo(full.fd, ...args))).toEqual({
        code: 1,
        stdout: '',
        stderr: expect.stringMatching(
          /^SHOAL_DISK: stdout cannot be written \(ENOSPC.*\); make room, then try again\n$/
        )
      })
    await full.close()
    const left = start('status')
    left.stdout?.destroy()
    left.stdin?.end()
    const [stderr, [code]] = await Promise.all([left.stderr?.toArray(), once(left, 'exit')])
    expect([code, stderr]).toEqual([1, []])
  }
)

test.runIf(existsSync('/dev/full'))('a node goes on without who reads where it listens', async () => {
  const full = await open('/dev/full', 'w')
  const args = [command, 'up', '--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', '--key', 'lab.key']
  const stdio: ['ignore', number, 'pipe'] = ['ignore', full.fd, 'pipe']
  const node = spawn(process.execPath, args, { cwd: mesh.folder, stdio })
  let said = ''
  for await (const text of node.stderr?.setEncoding('utf8') ?? []) {
    said += text
    // Once: a second one stops it at once, which is no good end.
    if (!node.killed && said.includes('stdout cannot be written')) node.kill('SIGTERM')
  }
  expect(said).toMatch(/stdout cannot be written \(ENOSPC.*\)\n/)
  const code = node.exitCode ?? (await once(node, 'exit'))[0]
  expect(code).toBe(0)
  await full.close()
})

test('of no inputs there is no job whose id could be told', async () => {
  const { stdout, stderr, code } = await ended(start('map', 'work.mjs', '-', '--detach'))
  expect({ stdout, stderr, code }).toEqual({
    code: 2,
    stdout: '',
    stderr: 'SHOAL_BAD_OPTION: there were no inputs, so that there is no job; nothing was submitted\n'
  })
  const empty = { job: null, results: [], errors: [] }
  for (const args of [
    ['map', '--json', 'work.mjs', '-'],
    ['run', '--json', '--each', '-', '--', 'true']
  ])
    expect(JSON.parse((await ended(start(...args))).stdout)).toEqual(empty)
})

test.each([
  [['--out', 'file'], '--detach leaves before there is anything for --out; leave one of them out, or'],
  [['-v'], '--detach leaves before there is anything for --verbose; leave one of them out, or give it'],
  [['--no-keep-going'], '--detach leaves before a task can fail, and --no-keep-going waits for that; leave'],
  [['--requires', '{"any":[]}'], '`requires` can be met by no node: an empty `any`, or an empty list']
])('what could have no effect together is refused: %j', async (args, why) => {
  const told = await ended(start('map', 'work.mjs', 'a', '--detach', ...args))
  expect(told).toMatchObject({ code: 2, stdout: '' })
  expect(told.stderr.replace('--requires ', '`requires` ')).toContain(why)
})
