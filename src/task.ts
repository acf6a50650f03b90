/**
 * What a task can ask about itself: `import { task } from 'shoal/task'`.
 *
 * Not here: how it is known (tasks/executor/context.ts). The module may be imported anywhere; only inside of a task there is
 * something to ask. It stays out of bundles, and is found again in every engine.
 */

import { createRequire } from 'node:module'
import type { LiveSource } from './client/stream.ts'
import type { Client } from './client/types.ts'
import { ShoalError } from './errors.ts'
import { type Context, origin } from './tasks/executor/context.ts'

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
   * Submits more work: the same client as elsewhere, whose entry is the task's own node. While the task awaits results of
   * it, its slot is given to others, so tasks may wait for tasks at any depth (at most 16, else SHOAL_TOO_DEEP) on any number of
   * slots; it goes on when its slot is free again. Its jobs belong to the task: they count as its submitter's, `priority` is
   * relative to its own, what has not ended is cancelled when the task ends, however it ends, and an attempt that follows a
   * lost one submits them anew in place of those. A function that the task's own module exports may be given as it is,
   * whatever it uses of that module. Resources are kept while a task waits: a job must not require what it holds. A call of the engine
   * that it runs on, or of one whose task waits for it, is refused with SHOAL_OWN_ENGINE. Of tasks that call each other's
   * engines, in a circle of any length, one is refused with that code within seconds, and the others go on.
   */
  readonly client: Client
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
  get client() {
    return clientOf(mine())
  },
  source<T>(name: string, options: { readonly ahead?: number } = {}): LiveSource<T> {
    const context = mine()
    const source = clientOf(context).source<T>(name, options)
    context.whenOver(() => void source.return?.())
    return source
  }
})

let client: Client | undefined

/** One for all tasks of this engine. */
function clientOf({ port }: Context): Client {
  client ??= newClient(port)
  return client
}

/** Loaded when it is first needed: few tasks submit anything, and engines start faster without it. */
function newClient(port: Context['port']): Client {
  const load = createRequire(import.meta.url)
  const file = import.meta.url.endsWith('.ts') ? './client/within.ts' : './within.js'
  const { EngineClient } = load(file) as typeof import('./client/within.ts')
  return new EngineClient(port) as unknown as Client
}

function mine(): Context {
  const context = origin.getStore()
  if (context !== undefined) return context
  throw new ShoalError(
    'SHOAL_NO_TASK',
    'no task runs here; `shoal/task` tells something inside of tasks only'
  )
}
