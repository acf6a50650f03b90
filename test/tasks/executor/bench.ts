/**
 * A pool on a bench, for its tests: modules with tasks that misbehave in every way, and what was told of each run.
 *
 * Not here: any expectation but that nothing is told of runs that were not started. Imported once by each file of tests.
 */
import { mkdtemp, rm, watch, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect } from 'vitest'
import type { Digest, ShardKey } from '../../../src/ids.ts'
import type { OutcomeHeader } from '../../../src/tasks/batch.ts'
import { OUTCOME_HEADER_BYTES, pack, readOutcomeHeader, STATUS, valueAt } from '../../../src/tasks/batch.ts'
import { decodeValue, encodeArgs } from '../../../src/tasks/executor/codec.ts'
import type { Executor, ExecutorEvent, RunBatch } from '../../../src/tasks/executor/executor.ts'
import { decodeFailure } from '../../../src/tasks/executor/failure.ts'
import { createPool } from '../../../src/tasks/executor/pool.ts'
import type { Isolation } from '../../../src/tasks/executor/pool-options.ts'
import { splitOutput } from '../../../src/tasks/output.ts'

const MODULE = `
export default (x) => x
export const later = async (x) => { await new Promise((go) => setImmediate(go)); return x + 1 }
export function fail(what) { throw what === 'error' ? new RangeError('too far') : what }
export const exitAt = (x, at) => { if (x === at) process.exit(7); return x }
export const hangAt = (x, at) => { while (x === at); return x }
export const waitAt = (x, at) => x === at ? new Promise(() => {}) : x
export const strayAt = (x, at) => { if (x === at) Promise.reject(new Error('stray')); return x }
export const lateAt = async (x, at, how) => {
  const leave = { throw: () => { throw new Error('late') }, reject: () => { void Promise.reject(new Error('late')) }, exit: () => process.exit(9) }
  if (x === at) { setTimeout(leave[how], 5); return x }
  await new Promise((go) => setTimeout(go, 40))
  return x
}
export const outsideAt = (x, at) => x === at ? new Promise(() => { setTimeout(() => { throw new Error('outside') }, 5) }) : x
export const fillAt = async (x, at) => { const all = []; while (x === at) { all.push(new Array(1e5).fill(x)); await null } return x }
export const post = async (message) => { process.getBuiltinModule('node:worker_threads').parentPort.postMessage(message); await new Promise((go) => setTimeout(go, 1)); return 1 }
export const postAndWait = async (message) => { process.getBuiltinModule('node:worker_threads').parentPort.postMessage(message); await new Promise(() => {}) }
export const slowAt = async (x, at) => { if (x === at) await new Promise((go) => setTimeout(go, 150)); return x }
export const tellAt = async (x, at, file) => { if (x !== at) return x; const { existsSync, writeFileSync } = process.getBuiltinModule('node:fs'); writeFileSync(file, ''); while (!existsSync(file + '-end')) await new Promise((go) => setTimeout(go, 5)); await new Promise((go) => setTimeout(go, 100)); return x }
export const loopAfter = () => { queueMicrotask(() => { for (;;); }); return 'left a loop' }
export const unencodable = () => ({ f() {} })
export const huge = (size) => new Uint8Array(size)
export const alien = () => ({ then(go) { go('thenable') } })
export const number = 42
`

export let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-pool-'))
  await writeFile(join(folder, 'module.mjs'), MODULE)
  await writeFile(join(folder, 'broken.mjs'), 'throw new Error("no luck")')
  await writeFile(join(folder, 'exits.mjs'), 'process.exit(3)\nexport default () => 1')
})
afterAll(() => rm(folder, { recursive: true }))

export interface Told {
  readonly index: number
  readonly header?: OutcomeHeader
  readonly value?: unknown
  readonly failure?: ReturnType<typeof decodeFailure>
  readonly stdout?: string
  readonly stderr?: string
  readonly lost?: string
  readonly recalled?: boolean
}

export interface Bench {
  readonly pool: Executor
  /** Starts a run with one task per argument list; resolves when it is done to all that was told, in order. */
  start(exportName: string, args: readonly unknown[][], more?: Partial<RunBatch>): Promise<Told[]>
  /** Resolves at the next event of any run; what comes before it is called again is missed. */
  next(): Promise<ExecutorEvent>
  /** Resolves once so many tasks of this run have been told of. */
  untilTold(run: number, count: number): Promise<void>
}

/** What the engines of the benches of this file of tests are. */
const kind: { isolation: Isolation } = { isolation: 'thread' }
export const useProcesses = (): void => {
  kind.isolation = 'process'
}

const pools: Executor[] = []
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close()))
})

function told(event: ExecutorEvent): Told[] {
  if (event.kind === 'engine-lost') {
    return event.index === undefined ? [] : [{ index: event.index, lost: event.reason, ...event.output }]
  }
  if (event.kind === 'said' || event.kind === 'parked' || event.kind === 'resumed') return []
  if (event.kind === 'recalled') return Array.from(event.indexes, (index) => ({ index, recalled: true }))
  return Array.from(event.outcomes.indexes, (index, at) => {
    const { outcome: bytes, output } = splitOutput(valueAt(event.outcomes, at))
    const header = readOutcomeHeader(bytes)
    const payload = bytes.subarray(OUTCOME_HEADER_BYTES)
    const base = { index, header, ...output }
    if (header.status === STATUS.ok) return { ...base, value: decodeValue(payload) }
    return header.status === STATUS.cancelled ? base : { ...base, failure: decodeFailure(payload) }
  })
}

export function bench(slots = 1, heapMb?: number, deafAfterMs = 30_000): Bench {
  const runs = new Map<number, { told: Told[]; finish: (told: Told[]) => void }>()
  const waiting: ((event: ExecutorEvent) => void)[] = []
  let count = 0
  const onEvent = (event: ExecutorEvent): void => {
    const run = runs.get(event.run)
    // What was said on the way may come after all of the run has ended.
    if (event.kind !== 'said') expect(run).toBeDefined()
    run?.told.push(...told(event))
    if ((event.kind === 'ended' || event.kind === 'recalled') && event.done) {
      run?.finish(run.told)
      runs.delete(event.run)
    }
    for (const go of waiting.splice(0)) go(event)
  }
  const code = (digest: Digest): string => join(folder, `${digest}.mjs`)
  const limits = heapMb === undefined ? {} : { heapMb }
  const pool = createPool({ slots, code, node: 'node', onEvent, deafAfterMs, ...kind, ...limits })
  pools.push(pool)
  const start = (
    exportName: string,
    args: readonly unknown[][],
    more: Partial<RunBatch> = {}
  ): Promise<Told[]> => {
    const run = more.run ?? ++count
    const key = 'job-of-test/0/0' as ShardKey
    const indexes = args.map((_, i) => i)
    const inputs = pack(
      '',
      indexes,
      args.map((list) => encodeArgs(list))
    )
    const rest = { slot: 0, first: 0, attempt: 1, code: 'module' as Digest, timeoutMs: 0 }
    const { promise, resolve } = Promise.withResolvers<Told[]>()
    runs.set(run, { told: [], finish: resolve })
    pool.run({ run, key, exportName, inputs, ...rest, ...more })
    return promise
  }
  const next = (): Promise<ExecutorEvent> => new Promise((resolve) => waiting.push(resolve))
  const untilTold = async (run: number, least: number): Promise<void> => {
    while ((runs.get(run)?.told.length ?? least) < least) await next()
  }
  return { pool, start, next, untilTold }
}

/** Resolves once a file of that name is made in the folder. */
export async function made(name: string): Promise<void> {
  for await (const { filename } of watch(folder)) if (filename === name) return
}

export const upTo = (count: number, ...more: unknown[]): unknown[][] =>
  Array.from({ length: count }, (_, i) => [i, ...more])
export const indexesOf = (all: readonly Told[]): number[] => all.map(({ index }) => index)
export const counting = (count: number): number[] => Array.from({ length: count }, (_, i) => i)
