/**
 * Whose turn it is at a node when tasks of several owners want what it has: everybody's in the end, and nobody's for ever.
 *
 * Not here: the order among the tasks of one owner (round.test.ts), and whole nodes (test/sim/owners.test.ts).
 */
import { expect, test } from 'vitest'
import type { PeerId } from '../../src/ids.ts'
import { anywhere, requirementOf } from '../../src/routing/requirement.ts'
import { Speeds } from '../../src/tasks/speeds.ts'
import { answerMaxMs, answerWithinMs, Turns } from '../../src/tasks/turns.ts'
import { headerOf } from './header.ts'

const [self, ann, ben] = ['self', 'ann', 'ben'] as [PeerId, PeerId, PeerId]
const owners = [self, ann, ben]
const plain = (priority = 0) => headerOf({ priority, requires: anywhere })
const needy = (priority = 0) => headerOf({ priority, requires: requirementOf({ resources: { gpu: 1 } }) })
const gpus = (amount: number) => [{ name: 'gpu', amount }]

/** How many tasks each owner is offered, with a `*` if they may need what there is; nothing if nobody is in another's way. */
function offered(turns: Turns, want: number, now = 0, room = gpus(0), sure = want): string {
  const offers = turns.offers(owners, { want, sure, room, standing: want, depth: 0 }, now)
  if (offers === undefined) return ''
  return owners
    .map((owner) => `${offers.get(owner)?.tasks}${offers.get(owner)?.hasRoom === true ? '*' : ''}`)
    .join(' ')
}

function waiting(...who: (readonly [PeerId, ReturnType<typeof plain>])[]): Turns {
  const turns = new Turns(new Speeds())
  for (const [owner, header] of who) turns.granted(owner, header, 10)
  return turns
}

test('what is enough for all is divided, and one slot goes to each in turn', () => {
  const turns = waiting([self, plain()], [ann, plain()])
  expect(offered(turns, 5)).toBe('3* 2* 5*')
  // An idle node asks for little at first, of tasks that are so short that many fit.
  expect(offered(turns, 1, 0, gpus(0), 100)).toBe('1* 1* 1*')
  // And for more than begins, of which nobody gets a part that would be another's.
  expect(offered(turns, 4, 0, gpus(0), 2)).toBe('1* 1* 2*')
  expect(offered(turns, 1)).toBe('1* 0* 0*')
  turns.took(self, plain(), 1, 0)
  expect(offered(turns, 1)).toBe('0* 1* 0*')
  turns.took(ann, plain(), 3, 0)
  // Who had more waits for longer.
  for (let i = 0; i < 3; i++) {
    expect(offered(turns, 1)).toBe('1* 0* 0*')
    turns.took(self, plain(), 1, 0)
  }
})

test('one alone is in nobody’s way', () => {
  const turns = waiting([ann, plain()])
  expect(offered(turns, 1)).toBe('')
  turns.heard(ben, { kind: 'waits', priority: 0, needs: [], isOver: false })
  expect(offered(turns, 1)).not.toBe('')
  turns.heard(ben, { kind: 'waits', priority: 0, needs: [], isOver: true })
  expect(offered(turns, 1)).toBe('')
})

test('the most urgent first, as long as any waits', () => {
  const turns = waiting([self, plain()], [ann, plain(5)])
  expect(offered(turns, 4)).toBe('0* 4* 0*')
  turns.took(ann, plain(5), 4, 0)
  expect(offered(turns, 1)).toBe('0* 1* 0*')
  turns.granted(ann, plain(5), 0)
  expect(offered(turns, 1)).toBe('')
})

test('who does not answer holds nothing up for long, and has its turn again when it says something', () => {
  const turns = waiting([self, plain()], [ann, plain()], [ben, plain()])
  turns.took(self, plain(), 1, 0)
  expect(offered(turns, 1, 100)).toBe('0* 1* 0*')
  expect(turns.passAt).toBe(100 + answerWithinMs)
  expect(offered(turns, 1, 99 + answerWithinMs)).toBe('0* 1* 0*')
  // The time runs from the first offer, and not again with each.
  expect(offered(turns, 1, 100 + answerWithinMs)).toBe('0* 0* 1*')
  turns.heard(ann, { kind: 'waits', priority: 0, needs: [], isOver: false })
  expect(offered(turns, 1, 101 + answerWithinMs)).toBe('0* 1* 0*')
  // As soon as it has answered nothing is counted any more.
  turns.granted(ann, plain(), 3)
  turns.took(ann, plain(), 1, 0)
  turns.pass(1_000_000)
  expect(turns.hasWork(ann)).toBe(true)
})

test('for who answers too late nothing is kept any more, but one of its tasks waits for the next turn', () => {
  const turns = waiting([self, plain()], [ann, plain()])
  turns.took(self, plain(), 1, 0)
  offered(turns, 1)
  turns.pass(answerWithinMs)
  expect([self, ann].map((owner) => turns.isLate(owner))).toEqual([false, true])
  turns.granted(ann, plain(), 3)
  turns.took(ann, plain(), 1, 2)
  expect(turns.isLate(ann)).toBe(false)
})

test('who had nothing, or has its turn anew, is not late: what it grants much later waits for nothing here', () => {
  const turns = waiting([self, plain()], [ann, plain()])
  turns.took(self, plain(), 1, 0)
  for (const at of [0, 1_000]) {
    offered(turns, 1, at)
    expect(turns.isLate(ann)).toBe(false)
    turns.pass(at + answerWithinMs)
    expect(turns.isLate(ann)).toBe(true)
    turns.heard(ann, { kind: 'waits', priority: 0, needs: [], isOver: false })
    expect(turns.isLate(ann)).toBe(true)
  }
  turns.heard(ann, { kind: 'waits', priority: 0, needs: [], isOver: true })
  expect(turns.isLate(ann)).toBe(false)
})

test.each([
  [100, answerWithinMs],
  [10_000, 500],
  [100_000, answerMaxMs]
])('an answer is waited for longer where tasks take long: %i ms', (taskMs, patience) => {
  const speeds = new Speeds()
  const turns = new Turns(speeds)
  for (const owner of [self, ann]) turns.granted(owner, plain(), 10)
  speeds.last = taskMs
  offered(turns, 1)
  expect(turns.passAt).toBe(patience)
})

test('a unit goes to one owner at a time, and keeps no slot from others', () => {
  const turns = waiting([self, needy()], [ann, needy()], [ben, plain()])
  expect(offered(turns, 4, 0, gpus(1))).toBe('2* 4 2')
  turns.took(self, needy(), 1, 0)
  // None is free: whoever needs one is in nobody's way.
  expect(offered(turns, 3)).toBe('')
  expect(offered(turns, 1, 0, gpus(1))).toBe('0 1* 0')
})

test('who needs what is not free is in nobody’s way, though there is something else', () => {
  const turns = waiting([self, needy(5)], [ann, plain()])
  const room = (gpu: number) => [...gpus(gpu), { name: 'memory', amount: 8 }]
  expect(offered(turns, 1, 0, room(0))).toBe('')
  expect(offered(turns, 1, 0, room(1))).toBe('1* 0 0')
  turns.granted(self, needy(5), 0)
  turns.heard(self, { kind: 'waits', priority: 5, needs: ['gpu', 'memory'], isOver: false })
  expect(offered(turns, 1, 0, room(0))).toBe('')
  expect(offered(turns, 1, 0, room(1))).toBe('1* 0 0')
})

test('what had to go back is known to wait, and whoever sent it has had its turn', () => {
  const turns = waiting([self, needy()])
  turns.granted(ann, needy(), 0)
  turns.took(ann, needy(), 0, 1)
  expect(offered(turns, 1, 0, gpus(1))).toBe('1* 0 0')
})
