/**
 * The clock by which people are told when a task ran: what moves it, and what does not.
 *
 * Not here: that every kind of engine goes by it (test/conformance/graphs.test.ts).
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { encodeOutcome, readOutcomeHeader, STATUS } from '../../../src/tasks/batch.ts'
import { WallClock } from '../../../src/tasks/executor/clock.ts'

const born = 1_796_000_000_000

/** `set`: by how much somebody has set its wall clock. A reading takes time, and may be paused after it. */
class Machine {
  now = 12.3
  set = 0
  pauseMs = 0.001
  readonly clock = new WallClock({
    wall: () => this.#read(Math.floor(born + this.now + this.set)),
    shared: () => this.#read(this.now)
  })

  #read(value: number): number {
    this.now += this.pauseMs
    return value
  }
}

test('what begins later is never told as earlier, however finely the wall clock is read and however it drifts', () => {
  const moves = fc.record({
    ms: fc.double({ min: 0, max: 5_000, noNaN: true }),
    drift: fc.double({ min: -5, max: 5, noNaN: true }),
    pauseMs: fc.constantFrom(0, 0.001, 0.7, 600_000)
  })
  fc.assert(
    fc.property(fc.array(moves, { maxLength: 60 }), (all) => {
      const machine = new Machine()
      let last = Number.NEGATIVE_INFINITY
      for (const { ms, drift, pauseMs } of all) {
        const ended = machine.clock.at(machine.now)
        expect(ended).toBeGreaterThanOrEqual(last)
        Object.assign(machine, { now: machine.now + ms, set: machine.set + drift, pauseMs })
        last = machine.clock.at(machine.now)
        expect(last).toBeGreaterThanOrEqual(ended)
      }
    })
  )
})

test.each([8 * 3_600_000, -3_600_000, 2_500])('a wall clock that is set by %i ms is followed', (set) => {
  const machine = new Machine()
  machine.clock.at(machine.now)
  machine.set = set
  machine.now += 100
  expect(Math.abs(machine.clock.at(machine.now) - (born + machine.now + set))).toBeLessThan(2)
})

test('a task that is told to have run for so long has not ended before that', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e9, noNaN: true }), (elapsedMs) => {
      const header = { status: STATUS.ok, slot: 0, attempt: 1, startedAt: born, elapsedMs }
      const { elapsedMs: told } = readOutcomeHeader(encodeOutcome(header, new Uint8Array(0)))
      expect(told).toBeLessThanOrEqual(elapsedMs)
      expect(elapsedMs - told).toBeLessThanOrEqual(elapsedMs / 2 ** 22 + 2 ** -100)
    })
  )
})
