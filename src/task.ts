/**
 * What a task can ask about itself: `import { task } from 'shoal/task'`.
 *
 * Not here: how it is known (tasks/executor/context.ts). The module may be imported anywhere; only inside of a task there is
 * something to ask. It stays out of bundles, and is found again in every engine.
 */

import { aheadDefault, Streams } from './client/stream.ts'
import type { LiveSource } from './client/types.ts'
import { ShoalError } from './errors.ts'
import { answerCodec, creditMax, questionCodec } from './routing/source-messages.ts'
import { type Context, origin } from './tasks/executor/context.ts'
import { ear } from './tasks/executor/reading.ts'

export { type ModuleFunction, moduleFunction } from './client/functions.ts'

/** Of the task whose code runs, also in its timers and after its awaits. Outside of a task, everything throws SHOAL_NO_TASK. */
export interface TaskContext {
  /** `<job>:<index>`, the same for all attempts. With `attempt`, a fencing token for what the task does to the world. */
  readonly id: string
  /** From 1. */
  readonly attempt: number
  /** `<node id>/<slot>` */
  readonly engine: string
  /**
   * Aborts when the task is cancelled (reason SHOAL_CANCELLED), and a second, or a tenth of it, before its `timeout` (reason
   * TASK_TIMEOUT). A cancelled task that has asked for its signal has one second to end; then its engine is ended by force,
   * as is that of a task which never asked, at once. Code that does not await anything hears nothing.
   */
  readonly signal: AbortSignal
  /**
   * Says how far the task is, from 0 to 1, and in words. Reaches those who watch the job, as it can: at most ten times a
   * second for a task and again every two seconds, words are cut at 200 characters, and some are lost on the way. What counts belongs in the result.
   */
  progress(fraction: number, text?: string): void
  /**
   * Reads a live source from now on, best on the node that offers it: `requires: { source: name }`. Items are sent as far ahead
   * as `ahead` says, and no further until they are read. Ends when the source ends or its node goes, and with the task; throws
   * SHOAL_NOT_FOUND if no node that is up offers it, SHOAL_SOURCE_FAILED if it threw. Iterate it once.
   */
  source<T = unknown>(name: string, options?: { readonly ahead?: number }): LiveSource<T>
}

export const task: TaskContext = Object.freeze({
  get id() {
    return mine().task
  },
  get attempt() {
    return mine().attempt
  },
  get engine() {
    return mine().port.engine
  },
  get signal() {
    return mine().signal
  },
  progress(fraction: number, text = ''): void {
    const context = mine()
    if (!(fraction >= 0 && fraction <= 1))
      throw new ShoalError('SHOAL_BAD_OPTION', `\`progress\` is ${fraction}; it is a number from 0 to 1`)
    context.progress(fraction, String(text))
  },
  source<T>(name: string, { ahead = aheadDefault }: { readonly ahead?: number } = {}): LiveSource<T> {
    const context = mine()
    if (!Number.isInteger(ahead) || ahead < 1 || ahead > creditMax)
      throw new ShoalError(
        'SHOAL_BAD_OPTION',
        `\`ahead\` is ${ahead}; it is a whole number from 1 to ${creditMax}`
      )
    streams ??= new Streams((question) =>
      context.port.post({ kind: 'asks', bytes: questionCodec.encode(question) })
    )
    ear.hear = (answer) => streams?.message(answerCodec.parse(answer))
    const source = streams.open<T>(name, ahead, undefined)
    context.whenOver(() => void source.return())
    return source
  }
})

/** What the tasks of this engine read. */
let streams: Streams | undefined

function mine(): Context {
  const context = origin.getStore()
  if (context !== undefined) return context
  throw new ShoalError(
    'SHOAL_NO_TASK',
    'no task runs here; `shoal/task` tells something inside of tasks only'
  )
}
