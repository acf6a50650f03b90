/**
 * What the fuzz tests of parsers share: how many cases, of what, and which errors are right.
 *
 * Not here: any parser.
 */
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { expect } from 'vitest'
import { type ErrorCode, ShoalError } from '../../src/errors.ts'

// Most cases end in an error that is right, and the runner would have each note its last hundred callers.
Error.stackTraceLimit = 10

/** Cases of each test of a parser. */
export const runs = Number(process.env.FUZZ_RUNS ?? 1_000)
/** Milliseconds for one test. */
export const testTimeout = Math.max(60_000, runs * 6)
/** Many cases share a file, as a file costs as much as a hundred cases. */
export const casesPerFile = 20

export const bytes = fc.uint8Array({ maxLength: 300 })
export const seeds = fc.nat()
/** What a program may hand over, or JSON may hold. */
export const anything = fc.anything({
  values: [fc.integer(), fc.string(), fc.uint8Array(), fc.boolean(), fc.constant(null), fc.double()],
  maxDepth: 4
})

export const check = <T>(arbitrary: fc.Arbitrary<T>, holds: (value: T) => void): void =>
  fc.assert(fc.property(arbitrary, holds), { numRuns: runs })

export const checkLater = <T>(
  arbitrary: fc.Arbitrary<T>,
  holds: (value: T) => Promise<void>
): Promise<void> => fc.assert(fc.asyncProperty(arbitrary, holds), { numRuns: runs })

/** A file for each `casesPerFile` cases, which are given together. */
export const checkFiles = <T>(
  arbitrary: fc.Arbitrary<T>,
  holds: (values: readonly T[]) => Promise<void>
): Promise<void> => {
  const several = fc.array(arbitrary, { minLength: casesPerFile, maxLength: casesPerFile })
  return fc.assert(fc.asyncProperty(several, holds), { numRuns: Math.ceil(runs / casesPerFile) })
}

/** What was parsed; `undefined` if it was refused with that code. Any other error fails the test. */
export function taken<T>(code: ErrorCode, parse: () => T): T | undefined {
  try {
    return parse()
  } catch (error) {
    if (error instanceof ShoalError && error.code === code) return undefined
    throw error
  }
}

export async function takenLater<T>(code: ErrorCode, parse: () => Promise<T>): Promise<T | undefined> {
  const outcome = await parse().catch((error: unknown) => error)
  if (!(outcome instanceof Error)) return outcome as T
  expect(outcome).toMatchObject({ name: 'ShoalError', code })
  return undefined
}

/** As `toEqual`, which takes a hundred times as long to walk through bytes: it only says what differs. */
export function same(found: unknown, wanted: unknown): void {
  if (!isDeepStrictEqual(found, wanted)) expect(found).toEqual(wanted)
}
