/**
 * Whether a node has what a task requires, what is said to be missing, and which requirements are refused.
 *
 * Not here: what is free at the moment (test/tasks/fitting.test.ts).
 */
import { encode } from 'cborg'
import { expect, test } from 'vitest'
import type { PeerId } from '../../src/ids.ts'
import { isOnlyAt, lacks, matches, slotsFor, type Traits } from '../../src/routing/match.ts'
import { nextGrant } from '../../src/routing/portions.ts'
import {
  anywhere,
  depthMax,
  type Requires,
  type Rule,
  requirement,
  requirementOf,
  testsMax
} from '../../src/routing/requirement.ts'

const [ann, ben] = ['ann', 'ben'] as [PeerId, PeerId]
const node: Traits = {
  peer: ann,
  slots: 2,
  labels: [
    ['gpu', 'a100'],
    ['memory', '64'],
    ['note', '']
  ],
  resources: [{ name: 'gpu', amount: 2 }],
  sources: ['microscope-3']
}
const fits = (requires: Requires, targets: readonly string[] = []): boolean =>
  matches(requirementOf(requires, targets), node)

test('labels: presence, absence, equality, sets, comparisons, and not', () => {
  const passing: NonNullable<Rule['labels']>[] = [
    { gpu: true, note: true, tpu: false },
    { gpu: 'a100', memory: 64, note: '' },
    { gpu: ['h100', 'a100'], memory: [32, 64] },
    { memory: { '>=': 64, '<': 64.5 } },
    { gpu: { not: 'k80' }, tpu: { not: true } },
    { memory: { not: [1, 2], '>': 10 } }
  ]
  for (const labels of passing) expect({ labels, fits: fits({ labels }) }).toEqual({ labels, fits: true })
  const failing: NonNullable<Rule['labels']>[] = [
    { gpu: false },
    { tpu: true },
    { gpu: 'A100' },
    { memory: '064' },
    { gpu: ['h100'] },
    { memory: { '>': 64 } },
    { memory: { '<=': 63 } },
    // What is no number compares with none.
    { gpu: { '>': 0 } },
    { note: { '>=': 0 } },
    { tpu: { '<': 5 } },
    { memory: { not: { '>': 1 } } }
  ]
  for (const labels of failing) expect({ labels, fits: fits({ labels }) }).toEqual({ labels, fits: false })
})

test('rules: all of what is said, at least one of any, each of all, and not', () => {
  const [yes, no]: Rule[] = [{ labels: { gpu: true } }, { labels: { tpu: true } }]
  const cases: [Requires, boolean][] = [
    [{ any: [no as Rule, yes as Rule] }, true],
    [{ any: [no as Rule] }, false],
    [{ all: [yes as Rule, yes as Rule] }, true],
    [{ all: [yes as Rule, no as Rule] }, false],
    [{ not: no as Rule }, true],
    [{ not: { any: [yes as Rule] } }, false],
    [{ ...yes, not: yes as Rule }, false],
    [{ resources: { gpu: 2 } }, true],
    [{ resources: { gpu: 3 } }, false],
    [{ resources: { tpu: 1 } }, false],
    [{ source: 'microscope-3' }, true],
    [{ source: 'microscope-4' }, false]
  ]
  for (const [requires, is] of cases)
    expect({ requires, fits: fits(requires) }).toEqual({ requires, fits: is })
})

test('what no node can meet is refused here, and read of others, whose nodes are said to lack it', () => {
  const none: Rule = { any: [] }
  const vain: Rule[] = [
    none,
    { all: [{ labels: { gpu: true } }, none] },
    { any: [none, { labels: { gpu: [] } }] },
    { labels: { gpu: [], memory: 64 } },
    { not: { labels: { gpu: { not: [] } } } },
    { not: {} },
    { labels: { gpu: { not: { not: [] } } } }
  ]
  for (const rule of vain) {
    const said = JSON.stringify(rule)
    expect(() => requirementOf(rule), said).toThrow(/`requires` can be met by no node/)
    expect({ said, fits: matches(requirement.check(said, ''), node) }).toEqual({ said, fits: false })
  }
  // Lists of what is not wanted may well be empty.
  const met: Rule[] = [
    { not: none },
    { labels: { zone: { not: [] } } },
    { not: { labels: { zone: [] } } },
    { any: [none, { labels: { gpu: true } }] },
    { all: [] }
  ]
  for (const rule of met) expect({ rule, fits: fits(rule) }).toEqual({ rule, fits: true })
})

test('targets name nodes or engines', () => {
  expect(fits({}, ['ann'])).toBe(true)
  expect(fits({}, ['ben', 'ann/1'])).toBe(true)
  expect(fits({}, ['ben', 'ann/2'])).toBe(false)
  expect(fits({}, ['annabel', 'ben/0'])).toBe(false)
  for (const odd of ['ann/', 'ann/0.0', 'ann/ 1', 'ann/1e0']) expect(fits({}, [odd]), odd).toBe(false)
  expect(slotsFor(['ben', 'ann/1'], node)).toEqual([1])
  expect(slotsFor(['ann/1', 'ann'], node)).toBeUndefined()
  expect(isOnlyAt(requirementOf({}, ['ann/1', 'ann']), ann)).toBe(true)
  expect(isOnlyAt(requirementOf({}, ['ann/1', 'ben']), ann)).toBe(false)
  expect(isOnlyAt(anywhere, ann)).toBe(false)
})

test('says of everything that is missing what is wanted and what is there', () => {
  const wanted = requirementOf(
    {
      labels: { gpu: 'h100', tpu: true },
      any: [{ labels: { x: 1 } }],
      not: { labels: { memory: 64 } },
      resources: { gpu: 4 },
      source: 's'
    },
    ['ben']
  )
  expect(lacks(wanted, { ...node, slots: 0 })).toEqual([
    { blockedBy: 'engine', name: 'slots', wants: '1', has: '0' },
    { blockedBy: 'target', name: 'id', wants: '["ben"]', has: 'ann' },
    { blockedBy: 'resource', name: 'gpu', wants: '4', has: '2' },
    { blockedBy: 'source', name: 's', wants: 's', has: '["microscope-3"]' },
    { blockedBy: 'label', name: 'gpu', wants: 'h100', has: 'a100' },
    { blockedBy: 'label', name: 'tpu', wants: 'true', has: '' },
    { blockedBy: 'any', name: '', wants: '[{"labels":{"x":1}}]', has: '' },
    { blockedBy: 'not', name: '', wants: '{"not":{"labels":{"memory":64}}}', has: '' }
  ])
  expect(lacks(anywhere, node)).toEqual([])
})

test('a requirement survives its journey, and is refused where it says nothing that could be meant', () => {
  const some = requirementOf({ labels: { gpu: { not: ['k80'] } }, resources: { b: 1, a: 2 } }, ['ann/0'])
  expect(requirement.check(requirement.plain(some), 'x')).toEqual(some)
  expect(requirement.check('', 'x')).toBe(anywhere)
  expect(requirementOf({ labels: undefined } as never)).toBe(anywhere)
  const deep = (levels: number): Rule => (levels === 0 ? {} : { not: deep(levels - 1) })
  const wrong: unknown[] = [
    { lables: {} },
    { labels: ['gpu'] },
    { labels: { gpu: null } },
    { labels: { gpu: {} } },
    { labels: { gpu: { '>': '3' } } },
    { labels: { gpu: { near: 3 } } },
    { labels: { '': true } },
    { any: { labels: {} } },
    { resources: { gpu: 0 } },
    { resources: { gpu: 1.5 } },
    { resources: [1] },
    { any: [{ resources: { gpu: 1 } }] },
    { source: 3 },
    { any: new Array(testsMax + 1).fill({}) },
    deep(depthMax + 1)
  ]
  for (const one of wrong) {
    expect(() => requirementOf(one as Requires), JSON.stringify(one).slice(0, 80)).toThrow(
      expect.objectContaining({ code: 'SHOAL_BAD_OPTION' })
    )
    expect(() => requirement.check(JSON.stringify(one), 'x')).toThrow(
      expect.objectContaining({ code: 'SHOAL_BAD_MESSAGE' })
    )
  }
  expect(() => requirementOf({}, [''])).toThrow(/`targets`/)
  expect(() => requirementOf({ resources: { gpu: Number.NaN } })).toThrow(/gpu` is NaN; it is a whole number/)
  for (const one of [3, null, '{', '[]', '3', encode(3), 'x'.repeat(20_000)])
    expect(() => requirement.check(one, 'x')).toThrow(expect.objectContaining({ code: 'SHOAL_BAD_MESSAGE' }))
})

test('a node that is near to the data is served first, then the own node, then who asks for most', () => {
  const claims = [
    { peer: ann, credit: 1 },
    { peer: ben, credit: 5 }
  ]
  expect(nextGrant(100, claims, 'cat' as PeerId)?.peer).toBe(ben)
  expect(nextGrant(100, claims, ann)?.peer).toBe(ann)
  expect(nextGrant(100, claims, ann, (peer) => peer === ben)?.peer).toBe(ben)
})
