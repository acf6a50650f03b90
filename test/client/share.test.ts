/**
 * The book of keys, when it cannot be asked for a while: nothing is accepted that it does not know.
 *
 * Not here: a mesh (test/conformance/keys.test.ts, gone.test.ts). The cell of the book is a variable of this test.
 */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type Answer, type Command, refused } from '../../src/cells/commands.ts'
import type { Answered, ClientCells, Patience } from '../../src/client/cells.ts'
import { Job } from '../../src/client/job.ts'
import { Share } from '../../src/client/share.ts'
import { type ErrorCode, ShoalError } from '../../src/errors.ts'
import type { PeerId, ShardKey } from '../../src/ids.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** One cell, that all who call it share. */
class Cell {
  #version = 0
  #value: readonly Uint8Array[] = []
  #change = Promise.withResolvers<void>()

  async call(command: Command, timeout = Number.POSITIVE_INFINITY): Promise<Answered> {
    if (command.kind === 'wait') await this.#newer(command.since, timeout)
    if (command.kind !== 'set') return this.#say({ kind: 'value', value: this.#value })
    if (command.unless.some((version) => version !== this.#version)) return this.#say(refused('changed'))
    this.#value = command.value
    this.#version++
    this.#change.resolve()
    this.#change = Promise.withResolvers()
    return this.#say({ kind: 'done' })
  }

  #say(answer: Answer): Answered {
    return { answer, version: this.#version }
  }

  async #newer(since: number, timeout: number): Promise<void> {
    const late = Promise.withResolvers<never>()
    setTimeout(late.reject, timeout, new ShoalError('SHOAL_TIMEOUT', 'late'))
    while (this.#version <= since) await Promise.race([this.#change.promise, late.promise])
  }
}

const nobody = (): Promise<never> => Promise.reject(new Error('nobody asks'))

/** A client that submits a key, as far as that is about the book. */
function submitter(cell: Cell, name: string) {
  const link: { cut?: ErrorCode | undefined; followed: number } = { followed: 0 }
  const call = async (_: string, command: Command, { timeout }: Patience = {}): Promise<Answered> => {
    if (link.cut !== undefined) throw new ShoalError(link.cut, 'the cell cannot be asked')
    return cell.call(command, timeout)
  }
  const cells = { name, call } as unknown as ClientCells
  const share = new Share({ acceptedAs: async () => undefined }, cells, 'night')
  const host = {
    cancel: () => {},
    forget: () => {},
    tell: () => {},
    makerOf: () => undefined,
    release: nobody,
    explain: nobody,
    standing: nobody,
    locate: nobody
  }
  const inFlightMax = Number.POSITIVE_INFINITY
  const plan = { id: share.job, host, isFound: false, returnErrors: false, inFlightMax, share }
  const job = new Job<unknown>({ ...plan, gate: (one) => one })
  const end = { state: 'open' }
  job.accepted.then(
    () => {
      end.state = 'accepted'
    },
    ({ code }) => {
      end.state = code
    }
  )
  const begun = share.begin(job, () => void link.followed++, false)
  const hand = (): void => {
    job.submitted(1)
    job.fed()
    job.shardAccepted({ key: 'night/0/0' as ShardKey, keepers: ['peer' as PeerId], first: 0, count: 1 }, 1)
    job.closed()
  }
  return { link, job, begun, end, hand }
}

test('what the mesh has is accepted once the book of keys says so, which is tried until it can be asked', async () => {
  const { link, begun, end, hand } = submitter(new Cell(), 'one')
  expect(await begun).toBe(true)
  link.cut = 'SHOAL_NO_QUORUM'
  hand()
  await vi.advanceTimersByTimeAsync(60_000)
  expect(end.state).toBe('open')
  link.cut = undefined
  await vi.advanceTimersByTimeAsync(5_000)
  expect(end.state).toBe('accepted')
})

test('who was away for so long that another one submits it has nothing accepted before that one has', async () => {
  const cell = new Cell()
  const one = submitter(cell, 'one')
  expect(await one.begun).toBe(true)
  one.link.cut = 'SHOAL_NO_QUORUM'
  const two = submitter(cell, 'two')
  await vi.advanceTimersByTimeAsync(40_000)
  expect(await two.begun).toBe(true)
  one.hand()
  one.link.cut = undefined
  await vi.advanceTimersByTimeAsync(40_000)
  expect([one.link.followed, one.end.state, two.end.state]).toEqual([1, 'open', 'open'])
  two.hand()
  await vi.advanceTimersByTimeAsync(5_000)
  expect([one.end.state, two.end.state]).toEqual(['accepted', 'accepted'])
})

test('what the book can no longer be told is not accepted, though its results may be there', async () => {
  const { link, job, begun, end, hand } = submitter(new Cell(), 'one')
  expect(await begun).toBe(true)
  link.cut = 'SHOAL_NO_QUORUM'
  hand()
  job.completed(1)
  await vi.advanceTimersByTimeAsync(5_000)
  expect(end.state).toBe('open')
  link.cut = 'SHOAL_CLOSED'
  await vi.advanceTimersByTimeAsync(5_000)
  expect(end.state).toBe('SHOAL_CLOSED')
})
