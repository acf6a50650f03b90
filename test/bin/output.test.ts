/**
 * What people and programs read: tables, values as lines, errors and their exit codes.
 *
 * Not here: where it is written (test/integration/command.test.ts).
 */
import { describe, expect, test } from 'vitest'
import { jobsText } from '../../bin/commands/jobs.ts'
import { statusText } from '../../bin/commands/status.ts'
import { errorLine, exitCodeOf } from '../../bin/failure.ts'
import { clock, jsonOf, plain, shortIds, table, textOf } from '../../bin/output.ts'
import type { NodeStatus } from '../../src/client/answers.ts'
import { bar, progressText } from '../../src/client/progress.ts'
import { ShoalError } from '../../src/errors.ts'

const node: NodeStatus = {
  id: '12D3KooWaaaaaa1',
  addresses: ['/ip4/127.0.0.1/tcp/4101/p2p/12D3KooWaaaaaa1', '/ip4/10.0.0.7/tcp/4101/p2p/12D3KooWaaaaaa1'],
  slots: 4,
  isKeeper: true,
  zone: 'room-12',
  labels: { gpu: 'a100' },
  resources: { gpu: 2 },
  sources: ['scope'],
  version: '0.1.0',
  availability: 'open',
  running: 2,
  queued: 1,
  owns: 3,
  waiting: 5,
  lostRuns: 0,
  droppedRuns: 0,
  unfinished: 8,
  dependent: 0,
  stalled: 0,
  keeps: 10,
  bytes: 0,
  tombstones: 0,
  moving: 0,
  disk: 'sound',
  peers: 1
}

describe('tables', () => {
  test('are as wide as they need to be, numbers to the right', () => {
    const rows = [
      ['a', 1, 'x'],
      ['longer', 100, '']
    ]
    expect(table(['name', 'n', 'note'], rows)).toBe(
      ['name      n  note', 'a         1  x', 'longer  100', ''].join('\n')
    )
    expect(table(['id', 'name'], [])).toBe('id  name\n')
  })

  test('show nothing that could move a cursor, and cut what is too long', () => {
    const hostile = '\x1b[31mred\x1b[0m\r\nnext\u202eback\u2028'
    expect(plain(hostile)).toBe(' [31mred [0m next back ')
    expect(table(['name'], [[hostile]])).not.toMatch(/[^\P{C}\n]/u)
    const [, row] = table(['name'], [['é'.repeat(500)]]).split('\n')
    expect(row).toBe(`${'é'.repeat(59)}…`)
  })
})

test('ids are shortened as far as they stay different', () => {
  const ids = ['12D3KooWxAAAAAA', '12D3KooWyAAAAAA', '12D3KooWBBBBBBB', '12D3KooWBBBBBBB']
  expect(Object.fromEntries(shortIds(ids))).toEqual({
    '12D3KooWxAAAAAA': 'xAAAAAA',
    '12D3KooWyAAAAAA': 'yAAAAAA',
    '12D3KooWBBBBBBB': 'BBBBBBB'
  })
  expect([...shortIds(['abc', 'abd']).values()]).toEqual(['abc', 'abd'])
  expect(shortIds([]).size).toBe(0)
})

test('status is a table of nodes and what waits', () => {
  const other = {
    ...node,
    id: '12D3KooWbbbbbb2',
    addresses: [],
    zone: '',
    labels: {},
    resources: {},
    sources: [],
    waiting: 0,
    unfinished: 0
  }
  expect(statusText({ entry: node.id, nodes: [other, node], silent: 1 })).toBe(
    `id      address                    slots  running  queued  owns  keeps  disk   labels
aaaaa1  /ip4/10.0.0.7/tcp/4101 +1      4        2       1     3     10  sound  zone=room-12 gpu=a100 gpu:2 ~scope
bbbbb2                                 4        2       1     3     10  sound

5 tasks wait to be run, 8 without a result in all
1 node did not answer
`
  )
})

test('status says of a node whose disk failed that it is to be restarted, and all of why', () => {
  const disk = `SHOAL_DISK: the store cannot be written (Error: IO error: ${'long/'.repeat(20)}000003.log: full)`
  const text = statusText({ entry: node.id, nodes: [{ ...node, disk }], silent: 0 })
  expect(text).toContain(`\nnode aaaaa1 keeps nothing until it is restarted on a disk in order: ${disk}\n`)
})

test('status says of work that stands still what it waits for', () => {
  const nodes = [node, { ...node, id: '12D3KooWbbbbbb2', stalled: 2 }]
  expect(statusText({ entry: node.id, nodes, silent: 0 })).toContain(
    '\nopen work of 2 shards stands still: too few of its keepers are up; it goes on when one of them is back\n'
  )
})

test('jobs are a table, newest first as they came', () => {
  const ends = { tasks: 3, done: 3, failed: 0, cancelled: 0 }
  const job = { id: 'abcdefgh', name: 'render', submittedAt: 0, ...ends, isClosed: true }
  const rows = [job, { ...job, done: 1 }, { ...job, isClosed: false, submittedAt: Number.NaN }]
  expect(jobsText(rows).split('\n')).toEqual([
    'id        name    submitted            tasks  state',
    `abcdefgh  render  ${clock(0)}  3/3    done`,
    `abcdefgh  render  ${clock(0)}  1/3    running`,
    'abcdefgh  render  ?                    3/3    open',
    ''
  ])
  expect(jobsText([])).toBe('no jobs\n')
})

test('a job says how many of its tasks failed or were cancelled', () => {
  const ends = { tasks: 3, done: 3, failed: 0, cancelled: 0 }
  const job = { id: 'abcdefgh', name: '', submittedAt: 0, ...ends, isClosed: true }
  const rows = [
    { ...job, cancelled: 3 },
    { ...job, failed: 3 },
    { ...job, failed: 1, cancelled: 2 },
    { ...job, done: 2, failed: 1 },
    { ...job, tasks: 0, done: 0 }
  ]
  const states = jobsText(rows).split('\n').slice(1, -1)
  expect(states.map((line) => line.split(/\d\/\d +/)[1])).toEqual([
    'cancelled',
    'failed',
    'done, 1 failed, 2 cancelled',
    'running, 1 failed',
    'done'
  ])
})

describe('values', () => {
  test('are texts as they are, or JSON', () => {
    expect(textOf('a "b"\n')).toBe('a "b"\n')
    expect(textOf({ a: [1, null] })).toBe('{"a":[1,null]}')
    expect(jsonOf('a')).toBe('"a"')
  })

  test('that JSON lacks become the nearest that it has', () => {
    expect(jsonOf(undefined)).toBe('null')
    expect(jsonOf({ a: 5n, b: undefined, c: Number.NaN })).toBe('{"a":"5","c":null}')
    expect(jsonOf([new Map([['k', 1]]), new Set([1])])).toBe('[[["k",1]],[1]]')
    expect(jsonOf({ bytes: Buffer.from('hi'), floats: new Float32Array([0.5]) })).toBe(
      '{"bytes":"aGk=","floats":[0.5]}'
    )
    expect(jsonOf([new Date(0), /x/g, new TypeError('no')])).toBe(
      '["1970-01-01T00:00:00.000Z","/x/g",{"name":"TypeError","message":"no"}]'
    )
    const endless: unknown[] = []
    endless.push(endless)
    expect(jsonOf(endless)).toBe('"<ref *1> [ [Circular *1] ]"')
  })
})

test('progress tells the total once it is known', () => {
  expect(progressText({ done: 5, total: 10, failed: 1 }, 2_000)).toBe('5/10 done, 1 failed, 2.5/s')
  expect(progressText({ done: 500, total: undefined, failed: 0 }, 1_000)).toBe('500 done, 0 failed, 500/s')
  expect(progressText({ done: 0, total: 0, failed: 0 }, 0)).toBe('0/0 done, 0 failed, 0.0/s')
  const bars = [0, 5, 12, 13].map((done) => bar({ done, total: 12, failed: 0 }))
  expect(bars.map((one) => one.replaceAll(/[^#]/g, '').length)).toEqual([0, 10, 24, 24])
  expect(new Set(bars.map(({ length }) => length)).size).toBe(1)
  expect(bar({ done: 5, total: undefined, failed: 0 })).toBe('')
})

test('errors are one line and have an exit code', () => {
  const error = new ShoalError('SHOAL_NO_MESH', 'no node was found;\n start one')
  expect(errorLine(error)).toBe('SHOAL_NO_MESH: no node was found;  start one')
  expect(exitCodeOf(error)).toBe(3)
  expect(exitCodeOf(new ShoalError('SHOAL_REFUSED', ''))).toBe(3)
  expect(exitCodeOf(new ShoalError('SHOAL_BAD_KEY', ''))).toBe(2)
  expect(exitCodeOf(new ShoalError('SHOAL_CANCELLED', ''))).toBe(1)
  expect(exitCodeOf(new Error('a bug'))).toBe(1)
  expect(errorLine(new Error('a bug'))).toMatch(/^shoal: Error: a bug; .*SHOAL_DEBUG=1/)
})
