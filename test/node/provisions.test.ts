/**
 * Runs that wait for their data, and what becomes of them when they are not wanted any more before it comes, or it cannot be kept.
 *
 * Not here: how data comes, and what is lost (data.test.ts). The data and the engine are played by the test.
 */
import { expect, test } from 'vitest'
import { closeEnvelope } from '../../src/data/envelope.ts'
import { ShoalError } from '../../src/errors.ts'
import { type DataId, dataId, type PeerId, type ShardKey } from '../../src/ids.ts'
import { Provisions } from '../../src/node/provisions.ts'
import {
  encodeOutcome,
  pack,
  readOutcomeHeader,
  STATUS,
  type Status,
  valueAt
} from '../../src/tasks/batch.ts'
import type { Run } from '../../src/tasks/effects.ts'
import type { Executor, ExecutorEvent } from '../../src/tasks/executor/executor.ts'
import { headerOf } from '../tasks/header.ts'

const id = dataId('a'.repeat(43), 5)

const noRoom = new ShoalError('SHOAL_DISK', 'data cannot be written (ENOSPC)')

/** A node at which three tasks wait for one piece of data. */
class Kitchen {
  readonly provisions: Provisions
  readonly events: ExecutorEvent[] = []
  /** Tasks that were given to the engine. */
  readonly begun: number[] = []
  /** Uses of the data that nobody gave back. */
  uses = 0
  #come = Promise.withResolvers<void>()

  constructor() {
    const executor: Partial<Executor> = {
      run: ({ inputs }) => this.begun.push(...inputs.indexes),
      cancel: () => {},
      recall: () => {}
    }
    const files = { release: () => this.uses-- }
    const fetch = async (): Promise<void> => {
      this.uses++
      await this.#come.promise
    }
    this.provisions = new Provisions({
      supply: { isHere: () => true },
      data: { files, fetch, put: () => Promise.reject(noRoom) },
      executor,
      onEvent: (event: ExecutorEvent) => this.events.push(event)
    } as unknown as ConstructorParameters<typeof Provisions>[0])
    const input = closeEnvelope({ kind: 'naming', ids: [id as DataId], inner: Uint8Array.of(0) })
    const inputs = pack('', [3, 4, 5], [input, input, input])
    const place = { slot: 0, key: 'abcdefgh/0/0' as ShardKey, keepers: [] as PeerId[], seat: 0, first: 0 }
    this.provisions.run({ kind: 'run', run: 1, ...place, header: headerOf(), attempt: 1, inputs } as Run)
  }

  async comes(): Promise<void> {
    this.#come.resolve()
    await new Promise(setImmediate)
  }

  async comesNot(why: unknown): Promise<void> {
    this.#come.reject(why)
    await new Promise(setImmediate)
  }

  /** Tasks that ended as cancelled. */
  get cancelled(): number[] {
    return this.ended(STATUS.cancelled)
  }

  ended(status: Status): number[] {
    return this.events.flatMap((event) =>
      event.kind === 'ended'
        ? [...event.outcomes.indexes].filter(
            (_, at) => readOutcomeHeader(valueAt(event.outcomes, at)).status === status
          )
        : []
    )
  }
}

test('a task that is cancelled while its data comes ends at once, and never begins', async () => {
  const kitchen = new Kitchen()
  kitchen.provisions.cancel(1, Uint32Array.of(4, 9))
  await new Promise(setImmediate)
  expect(kitchen.cancelled).toEqual([4])
  expect(kitchen.events).toMatchObject([{ done: false }])
  await kitchen.comes()
  expect(kitchen.begun).toEqual([3, 5])
  expect(kitchen.events).toHaveLength(1)
})

test('a run of which every task is cancelled while its data comes is over, and lets go of the data', async () => {
  const kitchen = new Kitchen()
  kitchen.provisions.cancel(1, Uint32Array.of(3))
  kitchen.provisions.cancel(1, Uint32Array.of(3, 4, 5))
  await new Promise(setImmediate)
  expect(kitchen.cancelled).toEqual([3, 4, 5])
  expect(kitchen.events).toMatchObject([{ done: false }, { done: true }])
  await kitchen.comes()
  expect(kitchen.begun).toEqual([])
  expect(kitchen.uses).toBe(0)
})

test('a run that is taken back while its data comes goes back whole, and does not begin when the data is there', async () => {
  const kitchen = new Kitchen()
  kitchen.provisions.cancel(1, Uint32Array.of(3))
  kitchen.provisions.recall(1)
  await new Promise(setImmediate)
  expect(kitchen.events[1]).toMatchObject({ kind: 'recalled', indexes: Uint32Array.of(4, 5), done: true })
  await kitchen.comes()
  expect(kitchen.begun).toEqual([])
  expect(kitchen.uses).toBe(0)
})

test('tasks whose data has no room on this disk never begin, and are not said to have lost it', async () => {
  const kitchen = new Kitchen()
  await kitchen.comesNot(noRoom)
  expect(kitchen.begun).toEqual([])
  expect(kitchen.ended(STATUS.noRoom)).toEqual([3, 4, 5])
  expect(kitchen.events).toMatchObject([{ done: true }])
})

test('tasks whose data no node has fail', async () => {
  const kitchen = new Kitchen()
  await kitchen.comesNot(new ShoalError('SHOAL_NOT_FOUND', 'no node has it'))
  expect(kitchen.ended(STATUS.error)).toEqual([3, 4, 5])
})

test('of a result that has no room on this disk, the owner is told when it began, so that it runs elsewhere', async () => {
  const kitchen = new Kitchen()
  await kitchen.comes()
  const header = { status: STATUS.ok, slot: 0, attempt: 1, elapsedMs: 5, startedAt: 1_000 }
  const large = encodeOutcome(header, new Uint8Array(100_000))
  const small = encodeOutcome(header, new Uint8Array(10))
  const outcomes = pack('', [3, 4, 5], [small, large, small])
  kitchen.provisions.heard({ kind: 'ended', run: 1, slot: 0, outcomes, done: true })
  await new Promise(setImmediate)
  expect([kitchen.ended(STATUS.ok), kitchen.ended(STATUS.noRoom)]).toEqual([[3, 5], [4]])
  const [event] = kitchen.events as [ExecutorEvent & { kind: 'ended' }]
  expect(readOutcomeHeader(valueAt(event.outcomes, 1))).toMatchObject({ startedAt: 1_000, attempt: 1 })
})
