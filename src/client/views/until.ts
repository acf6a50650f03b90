/**
 * Waits for engines at the beginning of a script, while nodes are still starting.
 *
 * Not here: which engines there are (engines.ts).
 * A node says how many slots it has, and not whether an engine starts there; so each is tried, and one that dies is told of at
 * once. One that is busy has no time to answer, but has shown that it starts.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { CompositeError, ShoalError, TaskError } from '../../errors.ts'
import { onlyKnown, whole } from '../checks.ts'
import type { Client } from '../types.ts'
import type { EngineInfo } from './engines.ts'

const timeoutDefault = 30_000
const lookEveryMs = 200
/** Then an engine is busy. */
const answerMs = 2_000

export interface WaitForEngines {
  /** Milliseconds. Default 30,000. */
  readonly timeout?: number
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
  const until = performance.now() + timeout
  const tried = new Set<string>()
  for (;;) {
    const engines = await client.engines()
    await tryOut(
      client,
      engines.filter(({ id }) => !tried.has(id))
    )
    for (const { id } of engines) tried.add(id)
    if (engines.length >= count) return engines
    const leftMs = until - performance.now()
    if (leftMs <= 0) {
      const what = `${engines.length} of ${count} engines were there within ${timeout} ms`
      throw new ShoalError('SHOAL_TIMEOUT', `${what}; see \`shoal status\` for the nodes that are up`)
    }
    await sleep(Math.min(leftMs, lookEveryMs), undefined, { signal }).catch((cause: unknown) => {
      throw new ShoalError('SHOAL_CANCELLED', 'the waiting for engines was ended by its signal', { cause })
    })
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
