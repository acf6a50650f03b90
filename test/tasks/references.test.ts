/**
 * Which data the records of a keeper name: counted by job, so that it is over with the last one.
 *
 * Not here: what is done about it (test/data), and how the mesh agrees on it (the simulator).
 */
import { expect, test } from 'vitest'
import { closeEnvelope } from '../../src/data/envelope.ts'
import { type DataId, dataId, type JobId, type PeerId, type ShardKey, shardKey } from '../../src/ids.ts'
import { encodeOutcome, pack, STATUS } from '../../src/tasks/batch.ts'
import { Keeper } from '../../src/tasks/keeper.ts'
import { firstSeating } from '../../src/tasks/keepers.ts'
import type { TaskMessage } from '../../src/tasks/messages.ts'
import { References } from '../../src/tasks/references.ts'
import { headerOf } from './header.ts'

const self = 'peerA' as PeerId
const data = (name: string): DataId => dataId(name.padEnd(43, '_'), 100_000)
const naming = (...ids: DataId[]): Uint8Array =>
  closeEnvelope({ kind: 'naming', ids, inner: Uint8Array.of(0) })
const [one, other] = ['job-0001', 'job-0002'] as [JobId, JobId]
const keyOf = (job: JobId): ShardKey => shardKey(job, 0, 0)

class Records {
  readonly #keeper = new Keeper(self)
  references = new References(this.#keeper)

  restart(): void {
    this.references = new References(this.#keeper)
    this.references.restored()
  }

  hears(message: TaskMessage): { fresh: readonly DataId[]; over: readonly DataId[] } {
    this.#keeper.step(self, message)
    const { fresh, over } = this.references.heard(message)
    return { fresh, over }
  }

  /** `on`: a job for one task of which a task of this one waits. */
  stores(
    job: JobId,
    inputs: readonly Uint8Array[],
    on?: JobId
  ): { fresh: readonly DataId[]; over: readonly DataId[] } {
    const shards = on === undefined ? [] : [{ key: keyOf(on), keepers: [self], first: 0, count: 1 }]
    const record = {
      key: keyOf(job),
      ...firstSeating([self]),
      copies: 1,
      header: headerOf({ job }),
      first: 0,
      count: inputs.length,
      shards: 1,
      inputs: pack('', [...inputs.keys()], inputs),
      root: [],
      needs: on === undefined ? [] : [{ shards, words: new Uint32Array(0) }]
    }
    return this.hears({ kind: 'store', record, isRepair: false })
  }
}

test('data that two jobs name is named until both are forgotten', () => {
  const records = new Records()
  const [shared, own] = [data('shared'), data('own')]
  expect(records.stores(one, [naming(shared), naming(shared, own)])).toEqual({
    fresh: [shared, own],
    over: []
  })
  expect(records.stores(other, [naming(shared)])).toEqual({ fresh: [], over: [] })
  expect(records.hears({ kind: 'forget', name: one })).toEqual({ fresh: [], over: [own] })
  expect(records.references.has(shared)).toBe(true)
  expect(records.hears({ kind: 'forget', name: other })).toEqual({ fresh: [], over: [shared] })
  expect(records.references.has(shared)).toBe(false)
})

test('a settled job needs its inputs no more, and its results until it is forgotten', () => {
  const records = new Records()
  const [input, result] = [data('input'), data('result')]
  records.stores(one, [naming(input)])
  const header = { status: STATUS.ok, slot: 0, attempt: 1, elapsedMs: 1, startedAt: 1 }
  const outcomes = pack(self, [0], [encodeOutcome(header, naming(result))])
  const place = { key: keyOf(one), list: 0, ballot: 0 }
  const accepted = records.hears({ kind: 'accept', ...place, serial: 1, outcomes } as TaskMessage)
  expect(accepted).toEqual({ fresh: [result], over: [] })
  expect(records.hears({ kind: 'settle', ...place, by: 0 } as TaskMessage)).toEqual({
    fresh: [],
    over: [input]
  })
  expect(records.hears({ kind: 'forget', name: one })).toEqual({ fresh: [], over: [result] })
})

test.each(['settled', 'forgotten', 'read back and settled'])(
  'a result that other tasks wait for is theirs, too, once their owner has it, until they are %s',
  (end) => {
    const records = new Records()
    const result = data('result')
    records.stores(other, [Uint8Array.of(0)], one)
    const header = { status: STATUS.ok, slot: 0, attempt: 1, elapsedMs: 1, startedAt: 1 }
    const outcomes = pack('peerB' as PeerId, [0], [encodeOutcome(header, naming(result))])
    if (end.startsWith('read back')) records.restart()
    const awaited = { kind: 'awaited', key: keyOf(one), outcomes } as TaskMessage
    expect([records.hears(awaited), records.hears(awaited)]).toEqual([
      { fresh: [result], over: [] },
      { fresh: [], over: [] }
    ])
    expect(records.hears({ kind: 'forget', name: one })).toEqual({ fresh: [], over: [] })
    const place = { key: keyOf(other), list: 0, ballot: 0 }
    const own = pack(self, [0], [encodeOutcome(header, Uint8Array.of(0))])
    records.hears({ kind: 'accept', ...place, serial: 1, outcomes: own } as TaskMessage)
    const isOver = records.hears(
      end === 'forgotten'
        ? { kind: 'forget', name: other }
        : ({ kind: 'settle', ...place, by: 0 } as TaskMessage)
    )
    expect(isOver).toEqual({ fresh: [], over: [result] })
    expect(records.hears(awaited)).toEqual({ fresh: [], over: [] })
  }
)
