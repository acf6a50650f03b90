/**
 * The engines of a node: for functions, and for programs if it allows them, on the same slots.
 *
 * Not here: how either runs (tasks/executor).
 */
import type { Ref } from '../data/ref.ts'
import type { Digest } from '../ids.ts'
import type { Executor, ExecutorEvent } from '../tasks/executor/executor.ts'
import { createPool } from '../tasks/executor/pool.ts'
import type { Isolation, PoolOptions } from '../tasks/executor/pool-options.ts'
import { createPrograms } from '../tasks/executor/programs.ts'
import { Scratch } from '../tasks/executor/scratch.ts'
import { type SharedSlots, shareSlots } from '../tasks/executor/slots.ts'

export interface EngineOptions {
  readonly slots: number
  readonly node: string
  readonly heapMb: number
  readonly isolation: Isolation
  /** Megabytes that a program may use; `undefined` for any. */
  readonly programMb: number | undefined
  readonly nice: number
  readonly code: (digest: Digest) => string
  /** For what programs need while they run. */
  readonly folder: string
  readonly allowRun: boolean
  /** Where data lies that inputs name: files named by their ids. */
  readonly dataFolder: string
  /** Keeps what a program made as data. */
  readonly keepFile: (path: string) => Promise<Ref>
}

/** `undefined` without slots. Rejects with SHOAL_DISK. */
export async function openExecutor(
  options: EngineOptions,
  { onEvent, onSaid }: Pick<PoolOptions, 'onEvent' | 'onSaid'>
): Promise<Executor | undefined> {
  const { slots, node, heapMb, isolation, nice, code, folder, dataFolder, keepFile, allowRun } = options
  const manners = { nice, memoryMb: options.programMb }
  if (slots === 0) return undefined
  const heard = (event: ExecutorEvent): void => shared.heard(event)
  const scratch = allowRun ? await Scratch.open(folder, { dataFolder, keepFile }) : undefined
  const common = { slots, node, code, onEvent: heard }
  const programs = scratch === undefined ? undefined : createPrograms({ ...common, scratch, ...manners })
  const mayResume = (slot: number): boolean => shared.mayResume(slot)
  const functions = createPool({ ...common, dataFolder, heapMb, isolation, nice, onSaid, mayResume })
  const shared: SharedSlots = shareSlots(functions, programs, onEvent)
  return shared
}
