/**
 * Several readers of one job in one session, beside who submitted it there: what each of them is told, and what an entry hears.
 *
 * Not here: their handles (interest.test.ts, conformance/readers.test.ts), and what entries make of it (the simulator).
 */
import { expect, test } from 'vitest'
import { readerName } from '../../src/client/by-name.ts'
import { Session } from '../../src/client/session.ts'
import type { SessionEffect } from '../../src/client/shards.ts'
import { type JobId, type PeerId, shardKey } from '../../src/ids.ts'
import { type Batch, encodeOutcome, pack, STATUS } from '../../src/tasks/batch.ts'
import { encodePlacement, placementBase } from '../../src/tasks/messages.ts'
import { headerOf } from '../tasks/header.ts'

const job = 'job-0001' as JobId
const header = headerOf({ job })
const [one, two] = [readerName(job, 1), readerName(job, 2)]
const place = (index: number) => ({
  key: shardKey(job, index, 0),
  keepers: ['peerA' as PeerId],
  first: 2 * index,
  count: 2
})
const pair = pack('', [0, 1], [new Uint8Array(1), new Uint8Array(1)])
const ended = (...indexes: number[]): Batch => {
  const outcome = { status: STATUS.ok, slot: 0, attempt: 1, elapsedMs: 0, startedAt: 0 }
  return pack('', indexes, new Array(indexes.length).fill(encodeOutcome(outcome, new Uint8Array(0))))
}
const others = pack('', [placementBase + 1], [encodePlacement(place(1))])

/** A client that has submitted a job of two shards. */
function submitted(count = 2) {
  const session = new Session()
  session.begin(header, { wanted: 1, least: 1 })
  for (let index = 0; index < count; index++) session.add(job, pair, index === count - 1)
  session.attached(0)
  const accept = (index: number) =>
    session.message({ kind: 'submitted', job, index, placement: place(index), copies: 1 }, 0)
  const results = (index: number, outcomes: Batch) =>
    session.message({ kind: 'results', key: place(index).key, outcomes }, 0)
  return { session, accept, results }
}

/** What is said to the entry, without what is submitted. */
const said = (effects: readonly SessionEffect[]): string[] =>
  effects.flatMap((effect) => {
    if (effect.kind !== 'send') return []
    const { message } = effect
    if (message.kind === 'follow')
      return [`follow ${message.placement.first}, having ${[...message.have].join(' ') || 'nothing'}`]
    if (message.kind === 'unfollow') return [`unfollow ${message.key}`]
    return message.kind === 'submit' ? [] : [message.kind]
  })
/** Who is told of which tasks, and of which end. */
const told = (effects: readonly SessionEffect[]): string[] =>
  effects.flatMap((effect) => {
    if (effect.kind === 'outcomes')
      return [`${effect.job}: ${[...effect.outcomes.indexes].map((at) => effect.first + at).join(' ')}`]
    return effect.kind === 'complete' || effect.kind === 'absent' ? [`${effect.job}: ${effect.kind}`] : []
  })

test('a reader where the job was submitted gets all of it, also what came before, and who submitted it nothing twice', () => {
  const { session, accept, results } = submitted()
  accept(0)
  accept(1)
  expect(told(results(0, ended(0)))).toEqual([`${job}: 0`])
  const follow = session.follow(job, one, true)
  expect(follow[0]).toEqual({ kind: 'found', job: one, header })
  expect(said(follow)).toEqual(['follow 0, having nothing'])
  // The register says where the second shard is.
  expect(said(results(0, others))).toEqual(['follow 2, having nothing'])
  expect(told(results(0, ended(0, 1)))).toEqual([`${job}: 1`, `${one}: 0 1`])
  const last = results(1, ended(0, 1))
  expect(told(last)).toEqual([`${job}: 2 3`, `${job}: complete`, `${one}: 2 3`, `${one}: complete`])
  expect(said(last).sort()).toEqual([`unfollow ${place(0).key}`, `unfollow ${place(1).key}`])
})

test('a shard that one of them has is followed on for the others, and another entry is told what all of them have', () => {
  const { session, accept, results } = submitted()
  accept(0)
  accept(1)
  results(1, ended(0))
  session.follow(job, one, true)
  results(0, others)
  // Of this reader more is on its way.
  const whole = results(1, ended(1))
  expect([told(whole), said(whole)]).toEqual([[`${job}: 3`, `${one}: 3`], []])
  session.detached()
  expect(said(session.attached(1))).toEqual(['follow 0, having nothing', 'follow 2, having 1'])
  expect(told(results(1, ended(0, 1)))).toEqual([`${one}: 2`])
})

test('who reads no more takes nothing from who submitted it, nor the other way round', () => {
  const { session, accept, results } = submitted(1)
  accept(0)
  session.follow(job, one, true)
  session.follow(job, two, true)
  expect(said(session.forget(one))).toEqual([])
  expect(told(results(0, ended(0)))).toEqual([`${job}: 0`, `${two}: 0`])
  expect(said(session.forget(job))).toEqual([])
  expect(told(results(0, ended(1)))).toEqual([`${two}: 1`, `${two}: complete`])
  expect(session.wakeAt()).toBeUndefined()
})

test('what is still to be submitted is read as soon as it is accepted; if it never will be, others are asked', () => {
  const { session, accept } = submitted()
  expect(session.follow(job, one, true)).toEqual([])
  // An answer to somebody who looked for it before.
  expect(session.message({ kind: 'absent', job }, 0)).toEqual([])
  session.cancel(one)
  const accepted = accept(0)
  expect(accepted).toContainEqual({ kind: 'found', job: one, header })
  expect(said(accepted)).toEqual(['follow 0, having nothing', 'cancel', 'close'])
  const early = new Session()
  early.attached(0)
  expect(early.follow(job, one, true)).toEqual([])
  expect(said(early.forget(job))).toEqual(['find'])
  expect(told(early.message({ kind: 'absent', job }, 0))).toEqual([`${one}: absent`])
})

test('a reader that has all of a shard before its submitter hears that it was accepted takes nothing from that one', () => {
  const { session, accept, results } = submitted(3)
  accept(0)
  session.follow(job, one, true)
  expect(said(results(0, others))).toEqual(['follow 2, having nothing'])
  expect(said(results(1, ended(0, 1)))).toEqual([`unfollow ${place(1).key}`])
  // Its entry has told of it since it was accepted, until it heard that.
  expect(said(accept(1))).toEqual(['follow 2, having nothing'])
  expect(told(results(1, ended(0, 1)))).toEqual([`${job}: 2 3`])
})

test('of a job that ended without any tasks nobody waits for its submitter', () => {
  const { session } = submitted(0)
  expect(told(session.close(job))).toEqual([`${job}: complete`])
  expect(said(session.follow(job, one, true))).toEqual(['find'])
  expect(told(session.message({ kind: 'absent', job }, 0))).toEqual([`${one}: absent`])
})

test('who only asks where a job is hears that, and nothing else of it until it is read', () => {
  const session = new Session()
  session.attached(0)
  expect(said(session.find(job, one))).toEqual(['find'])
  const found = session.message({ kind: 'found', placement: place(0), header, shards: 1 }, 0)
  expect(found).toEqual([{ kind: 'found', job: one, header }])
  expect(session.find(job, one)).toEqual([])
  const follow = session.follow(job, one)
  expect(said(follow)).toEqual(['follow 0, having nothing'])
  // All of it is where the mesh says.
  expect(follow).toContainEqual({ kind: 'closed', job: one })
})

test('a reader cancels what it knows of the job, and says that it has no more than that if there may be more', () => {
  const { session, accept, results } = submitted()
  accept(0)
  accept(1)
  session.follow(job, one, true)
  session.follow(job, two, true)
  expect(said(session.cancel(one))).toEqual(['cancel', 'close'])
  results(0, others)
  expect(said(session.cancelTask(two, 2))).toEqual(['cancel-tasks'])
  expect(said(session.cancel(two))).toEqual(['cancel', 'cancel'])
})

test('of a job that the mesh has forgotten all readers hear', () => {
  const { session, accept } = submitted(1)
  accept(0)
  session.follow(job, one, true)
  expect(told(session.message({ kind: 'released', job }, 0))).toEqual([`${job}: absent`, `${one}: absent`])
})
