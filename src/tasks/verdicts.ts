/**
 * Failures that an owner states itself, because no engine can: what they say to the user.
 *
 * Not here: when they are due (lead.ts). They have the form of what a task throws (executor/failure.ts).
 */
import { fromString } from 'uint8arrays/from-string'
import type { ErrorCode } from '../errors.ts'
import { taskId } from '../ids.ts'
import type { ShardRecord } from './messages.ts'
import type { EarlierAttempt } from './story.ts'

/** The failure of the task at an index of its shard. */
export type Verdict = (index: number) => Uint8Array

export function poisoned(
  { header, first }: ShardRecord,
  storyOf: (index: number) => readonly EarlierAttempt[]
): Verdict {
  return (index) => {
    const lost = storyOf(index).filter(({ how }) => how === 'lost')
    const where = lost.map(({ engine, reason }) => (reason === '' ? engine : `${engine} (${reason})`))
    const task = taskId(header.job, first + index)
    const message = `${task} ended ${lost.length} engines: ${where.join(', ')}; look at what it does to its process`
    return encodeCause('TASK_POISONED', message)
  }
}

export function notBegun({ header, first }: ShardRecord): Verdict {
  return (index) => {
    const task = taskId(header.job, first + index)
    const message = `${task} was not begun within its queueTimeout of ${header.queueTimeoutMs} ms: no engine was free`
    return encodeCause('TASK_QUEUE_TIMEOUT', message)
  }
}

export function unknown({ header, first }: ShardRecord): Verdict {
  return (index) => {
    const task = taskId(header.job, first + index)
    const message = `${task} was to run at most once and its engine was lost; look whether it has done its work`
    return encodeCause('TASK_UNKNOWN', message)
  }
}

function encodeCause(code: ErrorCode, message: string): Uint8Array {
  return fromString(JSON.stringify({ code, name: code, message, stack: '' }))
}
