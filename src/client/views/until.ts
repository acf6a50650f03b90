/**
 * Waits for engines at the beginning of a script, while nodes are still starting.
 *
 * Not here: which engines there are (engines.ts).
 * A node says how many slots it has, and not whether an engine starts there; so each is tried, and one that dies is told of at
 * once. One that is busy has no time to answer, but has shown that it starts.
 */
import { CompositeError, ShoalError, TaskError } from '../../errors.ts'
import { checkSignal, onlyKnown, whole } from '../checks.ts'
import { limited } from '../endings.ts'
import type { Client } from '../types.ts'
import type { EngineInfo } from './engines.ts'

const timeoutDefault = 30_000
const lookEveryMs = 200
/** Then an engine is busy. */
const answerMs = 2_000

export interface WaitForEngines {
  /** Milliseconds, and two seconds more for engines that are there then to show that they start. Default 30,000. */
  readonly timeout?: number
  /** Ends the waiting with SHOAL_CANCELLED. */
  readonly signal?: AbortSignal
}

export async function untilEngines(
  client: Client,
  count = 1,
  options: WaitForEngines = {}
): Promise<EngineInfo[]> {
  onlyKnown(options, ['timeout', 'signal'])
  const { timeout = timeoutDefault, signal } = options
  whole('count', count, 1, Number.MAX_SAFE_INTEGER)
  if (typeof timeout !== 'number' || !(timeout > 0))
    throw new ShoalError('SHOAL_BAD_OPTION', `\`timeout\` is ${timeout}; give milliseconds above 0`)
  checkSignal(signal)
  const until = performance.now() + timeout
  const tried = new Set<string>()
  let found = 0
  const late = (): ShoalError => {
    const what = `${found} of ${count} engines were there within ${timeout} ms`
    return new ShoalError('SHOAL_TIMEOUT', `${what}; see \`shoal status\` for the nodes that are up`)
  }
  // Where no node answers, only this ends it in time.
  const inTime = async <T>(promise: Promise<T>, moreMs = 0): Promise<T> => {
    const leftMs = Math.max(0, until - performance.now()) + moreMs
    if (await limited(promise, leftMs, signal)) return await promise
    throw late()
  }
  for (;;) {
    const engines = await inTime(client.engines())
    const untried = engines.filter(({ id }) => !tried.has(id))
    await inTime(tryOut(client, untried), answerMs)
    for (const { id } of untried) tried.add(id)
    found = engines.length
    if (found >= count) return engines
    const leftMs = until - performance.now()
    if (leftMs <= 0) throw late()
    await limited(new Promise(() => {}), Math.min(leftMs, lookEveryMs), signal)
  }
}

/** Rejects with what ended them, if engines do not start. */
async function tryOut(client: Client, engines: readonly EngineInfo[]): Promise<void> {
  const tries = engines.map(({ id }) =>
    client.submit(() => true, [], { targets: [id], queueTimeout: answerMs, name: 'waitForEngines' })
  )
  const ends = await Promise.allSettled(tries)
  const errors = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as unknown] : []))
  const broken = errors.filter(
    (error) => !(error instanceof TaskError && error.code === 'TASK_QUEUE_TIMEOUT')
  )
  if (broken.length > 1 && broken.every((error) => error instanceof TaskError))
    throw new CompositeError(broken)
  if (broken.length > 0) throw broken[0]
}
