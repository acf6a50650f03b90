/**
 * Whoever gives a flag a wrong value is told of a right one: it is given then, and accepted.
 *
 * Not here: what the flags do. Commands run in this process and get no further than their options.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Command } from '../../bin/command.ts'
import { drain } from '../../bin/commands/drain.ts'
import { jobs } from '../../bin/commands/jobs.ts'
import { map } from '../../bin/commands/map.ts'
import { result } from '../../bin/commands/result.ts'
import { run } from '../../bin/commands/run.ts'
import { source } from '../../bin/commands/source.ts'
import { up } from '../../bin/commands/up.ts'
import { errorLine } from '../../bin/failure.ts'
import { createHost, parseAddress } from '../../src/node/host.ts'
import { createKey, writeKey } from '../../src/node/key.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-advice-'))
  await writeKey(join(folder, 'lab.key'), createKey())
  await writeFile(join(folder, 'work.mjs'), 'export default (text) => text')
})
afterAll(() => rm(folder, { recursive: true }))

const commands: Readonly<Record<string, Command>> = { drain, jobs, map, result, run, source, up }
/** What else the command needs before it looks for a mesh. */
const operands = (name: string): string[] =>
  ({ map: [join(folder, 'work.mjs'), 'a'], run: ['--', 'cat'], result: ['abcdefgh12345678'], source: ['x'] })[
    name
  ] ?? []
const longName = 'x'.repeat(129)

/** What the command says of these flags; all are fine if it is that the key, or the zone of a node, is not. */
async function saidOf(name: string, ...flags: string[]): Promise<string> {
  const before = new Map(
    ['SIGINT', 'SIGTERM'].map((signal) => [signal, process.listeners(signal as 'SIGINT')])
  )
  const key = name === 'up' ? ['--key', join(folder, 'lab.key'), '--zone', longName] : ['--key', 'none.key']
  try {
    await commands[name]?.run([...key, ...flags, ...operands(name)])
    throw new Error('it began')
  } catch (error) {
    return errorLine(error)
  } finally {
    for (const [signal, others] of before)
      for (const one of process.listeners(signal as 'SIGINT'))
        if (!others.includes(one)) process.off(signal, one)
  }
}

const seconds = [
  ['x', '30'],
  ['0', '30'],
  ['99999999', '30'],
  ['99999999', '4294967']
] as const
const retries = [
  ['x', '2'],
  ['5000', '1000']
] as const
const requires = [
  ['x', '{"labels":{"gpu":true}}'],
  ['[]', '{"labels":{"gpu":true}}'],
  ['{"label":1}', 'labels', '{"labels":{}}']
] as const

type Row = readonly [wrong: string, advice: string, right?: string]

/** Of each flag wrong values, and right ones as they are advised. */
const advised: Readonly<Record<string, Readonly<Record<string, readonly Row[]>>>> = {
  up: {
    slots: [
      ['x', '4'],
      ['999', '256']
    ],
    label: [
      ['x', 'gpu=a100'],
      ['=x', 'gpu=a100']
    ],
    resource: [
      ['gpu', 'gpu=2'],
      ['gpu=x', 'gpu=2'],
      ['gpu=9999999', '1000000', 'gpu=1000000']
    ],
    isolation: [
      ['x', 'thread'],
      ['x', 'process']
    ],
    'memory-limit': [
      ['x', '2048'],
      ['4', '32']
    ],
    nice: [
      ['x', '10'],
      ['30', '19']
    ],
    source: [['x', "camera='ffmpeg …'"]],
    when: [['x', 'idle']],
    hours: [
      ['x', '19:00-07:00'],
      ['9-17', '19:00-07:00']
    ],
    'idle-after': seconds,
    key: [['', 'lab.key']],
    data: [['', './node-data']],
    listen: [['', '/ip4/0.0.0.0/tcp/4101']],
    peer: [['', '/ip4/192.0.2.1/tcp/4400']],
    'idle-load': [
      ['x', '0.3'],
      ['-1', '0.3']
    ],
    'hand-back-after': seconds,
    'drain-timeout': seconds
  },
  map: {
    retries,
    'task-timeout': seconds,
    'queue-timeout': seconds,
    priority: [['x', '1']],
    requires,
    out: [['', 'results.txt']],
    key: [['', 'lab.key']]
  },
  run: {
    env: [['X', 'SEED=7']],
    retries,
    'task-timeout': seconds,
    priority: [['x', '1']],
    requires,
    'kill-after': seconds
  },
  result: { out: [['', 'results.txt']] },
  drain: { within: seconds },
  jobs: { timeout: seconds }
}

for (const [name, flags] of Object.entries(advised))
  for (const [flag, rows] of Object.entries(flags))
    for (const [wrong, advice, right = advice] of rows)
      test(`shoal ${name} --${flag} '${wrong}' is refused, and the advice is good: ${advice}`, async () => {
        const refused = await saidOf(name, `--${flag}=${wrong}`)
        expect(refused).toMatch(new RegExp(`^SHOAL_BAD_OPTION: (?=.*--${flag} )`))
        expect(refused).toContain(advice)
        const followed = await saidOf(name, `--${flag}=${right.replaceAll("'", '')}`)
        expect(followed).toMatch(/^SHOAL_BAD_KEY: no key at (none|lab)\.key|: zones and labels are strings/)
      })

/** Names of files, addresses and the like, for which no text is wrong by itself. */
const anyText = ['data', 'each', 'file', 'into', 'listen', 'peer', 'stdin', 'stdout', 'target']

test.each(Object.entries(commands))(
  'no flag of shoal %s that takes a value is left out',
  (name, { usage }) => {
    const flags = [...usage.matchAll(/^ {2}--([a-z-]+) [A-Z]/gm)].map(([, flag = '']) => flag)
    const known = Object.keys(advised[name] ?? {})
    const shared = ['key', 'name', 'out', 'timeout', 'zone']
    expect(flags.filter((flag) => ![...known, ...anyText, ...shared].includes(flag))).toEqual([])
  }
)

test.each(Object.entries(commands))(
  'a flag of shoal %s that is empty is refused by name',
  async (name, { usage }) => {
    const flags = [...usage.matchAll(/^ {2}--([a-z-]+) [A-Z]/gm)].map(([, flag = '']) => flag)
    const said = await Promise.all(flags.map((flag) => saidOf(name, `--${flag}=`)))
    expect(said).toEqual(flags.map((flag) => expect.stringMatching(`^SHOAL_BAD_OPTION: --${flag} is ""`)))
  }
)

test('what a flag became is not spoken of', async () => {
  expect(await saidOf('map', '--name', longName)).toMatch(
    /^SHOAL_BAD_OPTION: --name is a string of at most 128/
  )
  expect(await saidOf('run', '--out', '../x')).toMatch(
    /^SHOAL_BAD_OPTION: --out has "..\/x"; it is a path inside/
  )
})

test('an address to listen on is advised that there is on every machine', async () => {
  const identity = await generateKeyPair('Ed25519')
  const hostAt = (address: string) => createHost({ identity, listen: [address], services: {} })
  const refused: unknown = await hostAt('x').catch((error: unknown) => error)
  const [, advised = ''] =
    /^SHOAL_BAD_OPTION: x is no address; write it like (\S+)$/.exec(errorLine(refused)) ?? []
  const host = await hostAt(advised)
  await host.start()
  await host.stop()
  expect(() => parseAddress('')).toThrow('"" is no address; write it like /ip4/')
  expect(() => parseAddress('/')).toThrow('/ is no address; write it like /ip4/')
  expect(() => parseAddress('x')).toThrow(`write it like ${parseAddress('/ip4/192.0.2.1/tcp/4400')}`)
})
