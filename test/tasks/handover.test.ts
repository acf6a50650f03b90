/**
 * That no attempt is given twice: what an owner that leaves tells the next one, and what a first owner may not have on its disk.
 *
 * Not here: leaving (the simulator, integration/departure.test.ts), and how attempts are counted (queue.test.ts).
 */
import { expect, test } from 'vitest'
import { type Ballot, ballotOf, type PeerId } from '../../src/ids.ts'
import { pack } from '../../src/tasks/batch.ts'
import type { LeadView } from '../../src/tasks/dealer.ts'
import { firstSeating } from '../../src/tasks/keepers.ts'
import { Lead } from '../../src/tasks/lead.ts'
import { attemptBase, type TaskMessageOf } from '../../src/tasks/messages.ts'
import { Queue } from '../../src/tasks/queue.ts'
import { Register } from '../../src/tasks/register.ts'
import { recordOf } from './record.ts'

const [a, b, c] = ['peerA', 'peerB', 'peerC'] as [PeerId, PeerId, PeerId]
const record = recordOf(a, 2, { ...firstSeating([a, b, c]), copies: 3 })

/** The lead of the third keeper, to which the first one, of ballot 0, handed over; another had marked attempts meanwhile. */
function heirAfter(others: Ballot): Lead {
  const queue = new Queue(2)
  queue.take(b, 1, true)
  const handover = { ballot: 0, states: queue.states(false), untried: new Uint32Array(0) }
  const register = Register.takeOver(record, c, others, 0)
  const lead = new Lead(register, { self: c } as unknown as LeadView, 0, handover)
  register.begin(0)
  const mark = { ballot: others, outcomes: pack('', [attemptBase + 5], [new Uint8Array(0)]) }
  const promise = (): TaskMessageOf<'promised'> => ({
    kind: 'promised',
    key: record.key,
    list: 0,
    ballot: register.ballot,
    accepted: [mark],
    part: 0,
    parts: 1
  })
  for (const keeper of [c, a]) lead.promised(keeper, promise(), 1)
  expect(lead.open(2)).toBe(true)
  return lead
}

test('the next owner goes on with the attempts that the one before told it', () => {
  expect(heirAfter(0).queue.highestAttempt).toBeLessThan(5)
})

test('what was handed over by one after whom another owned the shard is not believed', () => {
  // It granted attempts, too: none of those is used again.
  expect(heirAfter(ballotOf(1, 1)).queue.highestAttempt).toBeGreaterThan(5)
})

test('a first keeper grants nothing of what others submitted before it has that on its disk', () => {
  const [others, own] = [false, true].map((isEntry) => {
    const register = Register.first(record, a, isEntry)
    return { register, lead: new Lead(register, { self: a } as unknown as LeadView, 0) }
  }) as [{ register: Register; lead: Lead }, { register: Register; lead: Lead }]
  expect(others.lead.waiting(0)).toBe(0)
  others.register.stored(1)
  expect(others.lead.waiting(1)).toBe(2)
  // Its own client's it cannot be given a second time.
  expect(own.lead.waiting(0)).toBe(2)
})
