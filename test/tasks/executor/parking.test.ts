/**
 * Who has a slot while tasks wait for others: the last who gave it away gets it back first, and an idle stand-in is kept.
 *
 * Not here: engines (test/conformance/nested.test.ts).
 */
import { expect, test } from 'vitest'
import { STATUS } from '../../../src/tasks/batch.ts'
import { Parking, sparesMax } from '../../../src/tasks/executor/parking.ts'
import { bench, upTo } from './bench.ts'

let made = 0
const make = (index: number) => ({
  index,
  name: ++made,
  runs: [] as string[],
  isParked: false,
  isWanting: false
})

test('the last who gave it away gets it back first, once nobody works there', () => {
  const parking = new Parking(1, make)
  const first = parking.top(0)
  parking.park(first)
  const second = parking.top(0)
  parking.park(second)
  const third = parking.top(0)
  third.runs.push('work')
  first.isWanting = second.isWanting = true
  expect(parking.next(0)).toBeUndefined()
  // What comes now waits behind those who were here before.
  expect(parking.at(0)).toBe(second)
  third.runs.pop()
  expect(parking.next(0)?.next).toBe(second)
  expect(parking.next(0)?.next).toBe(first)
  expect([...parking]).toHaveLength(3)
  parking.park(first)
  expect([second, third]).toContain(parking.top(0))
})

test('of more stand-ins than are kept, the engines are let go', () => {
  const parking = new Parking(1, make)
  const seats = Array.from({ length: sparesMax + 2 }, () => {
    const top = parking.top(0)
    parking.park(top)
    return top
  })
  const left = seats.map((one) => {
    one.isWanting = true
    return parking.next(0)?.left
  })
  expect(left.filter((one) => one !== undefined)).toHaveLength(2)
})

test('an engine that ended while its task waited, or while it was kept, need not be replaced', () => {
  const parking = new Parking(1, make)
  const first = parking.top(0)
  parking.park(first)
  expect(parking.drop(parking.top(0))).toBe(false)
  expect(parking.drop(first)).toBe(true)
  expect(first.isParked).toBe(false)
  expect([...parking]).toHaveLength(1)
})

test('a task that can come to no end here is ended, as one that was cancelled, and its slot is free', async () => {
  const { start } = bench()
  const word = { kind: 'yields', run: 70, position: 0 }
  const [given, after] = await Promise.all([
    start('postAndWait', [[word]], { run: 70 }),
    start('default', upTo(2))
  ])
  expect(given.map(({ header }) => header?.status)).toEqual([STATUS.cancelled])
  expect(after.map(({ value }) => value)).toEqual([0, 1])
})
