/**
 * Failures that an owner states itself, because no engine can: what they say to the user.
 *
 * Not here: when they are due (lead.ts). They have the form of what a task throws (executor/failure.ts).
 */
import { fromString } from 'uint8arrays/from-string'
import { toString as toText } from 'uint8arrays/to-string'
import type { ErrorCode } from '../errors.ts'
import { type PeerId, type TaskId, taskId } from '../ids.ts'
import { isEngine, type Requirement } from '../routing/requirement.ts'
import { type Batch, encodeOutcome, pack } from './batch.ts'
import { type Hopeless, isThere, parcelBytesMax } from './dependents.ts'
import type { ShardRecord } from './messages.ts'
import { withOutput } from './output.ts'
import type { Queue } from './queue.ts'
import { lostAt, type Story, withStory } from './story.ts'

/** Outcomes that an owner states itself, of those of these tasks that have none; they are proposed since now. */
export function concluded(
  queue: Queue,
  story: Story,
  indexes: readonly number[],
  { status, payload }: { readonly status: 1 | 2; readonly payload: Verdict }
): Batch | undefined {
  const open = indexes.filter((index) => queue.propose(index))
  if (open.length === 0) return undefined
  const values = open.map((index) => {
    const header = { status, slot: 0, attempt: queue.attempt(index), elapsedMs: 0, startedAt: 0 }
    const outcome = withOutput(encodeOutcome(header, payload(index)), story.takePrinted(index))
    return withStory(outcome, story.of(index))
  })
  return pack('', open, values)
}

/** Of the failure that dependents are told as their cause. */
const causeMessageMax = 1_000
const causeStackMax = 2_000

/** Of the targets of a task none of which is there. */
const targetsNamedMax = 4
/** Characters of a requirement that nobody meets. */
const requirementNamedMax = 200
type MemberView = Parameters<typeof isThere>[1]

/** The failure of the task at an index of its shard. */
export type Verdict = (index: number) => Uint8Array

export function poisoned({ header, first }: ShardRecord, story: Story): Verdict {
  return (index) => {
    const where = lostAt(story.of(index))
    const task = taskId(header.job, first + index)
    const message = `${task} ended ${where.length} engines: ${where.join(', ')}; look at what it does to its process`
    return encodeCause('TASK_POISONED', message)
  }
}

export interface Able {
  /** What a node that is up says of itself. */
  readonly member: MemberView
  /** How many of the nodes that ask for work could run this. */
  readonly able: (requires: Requirement) => number
}

export function notBegun({ header, first }: ShardRecord, { member, able }: Able): Verdict {
  const { targets, text } = header.requires
  const isAny = targets.some((one) => (isEngine(one) ? isThere(one, member) : member(one as PeerId)))
  const isUnmet = text !== '' && able(header.requires) === 0
  const unmet = `no node that takes work has what it requires, ${text.slice(0, requirementNamedMax)}; explain says what each lacks`
  const absent = `none of its targets is up: ${targets.slice(0, targetsNamedMax).join(', ')}`
  const why = targets.length > 0 && !isAny ? absent : isUnmet ? unmet : 'no engine was free'
  return (index) => {
    const task = taskId(header.job, first + index)
    const message = `${task} was not begun within its queueTimeout of ${header.queueTimeoutMs} ms: ${why}`
    return encodeCause('TASK_QUEUE_TIMEOUT', message)
  }
}

export function unknown({ header, first }: ShardRecord, story: Story): Verdict {
  return (index) => {
    const [where] = lostAt(story.of(index))
    const task = taskId(header.job, first + index)
    const engine = where === undefined ? 'its engine' : `its engine, ${where},`
    const message = `${task} was to run at most once and ${engine} was lost; look whether it has done its work`
    return encodeCause('TASK_UNKNOWN', message)
  }
}

/** Of tasks that never will begin, because of what they waited for. The cause is what went wrong first. */
export function hopeless({ header, first }: ShardRecord, all: ReadonlyMap<number, Hopeless>): Verdict {
  return (index) => {
    const task = taskId(header.job, first + index)
    const one = all.get(index)
    const on = one?.on ?? ''
    switch (one?.why) {
      case 'forgotten':
        return encodeCause(
          'TASK_DEPENDENCY',
          `${task} waits for ${on}, which was released or is past its retention`
        )
      case 'several places':
        return encodeCause(
          'TASK_DEPENDENCY',
          `${task} follows tasks that ran on different engines; it cannot run on both`
        )
      case 'unfit place':
        return encodeCause(
          'TASK_DEPENDENCY',
          `${task} follows ${on} to an engine that is not what it requires`
        )
      case 'too large':
        return encodeCause(
          'TASK_DEPENDENCY',
          `the arguments of ${task} take more than ${parcelBytesMax} bytes with the values that it waits for`
        )
      default:
        return endedOtherwise(task, on, one?.failure)
    }
  }
}

function endedOtherwise(task: TaskId, on: string, failure: Uint8Array | undefined): Uint8Array {
  if (failure === undefined)
    return encodeCause('TASK_DEPENDENCY', `${task} waits for ${on} to fail, and it did not`)
  if (failure.byteLength === 0)
    return encodeCause('TASK_DEPENDENCY', `${task} waits for ${on}, which was cancelled`, { blame: on })
  const { code, message, blame, cause, ...rest } = readFailure(failure)
  if (code !== 'TASK_DEPENDENCY') {
    const first = { ...rest, message }
    return encodeCause('TASK_DEPENDENCY', `${task} waits for ${on}, which failed: ${message}`, {
      blame: on,
      cause: first
    })
  }
  const because = blame === undefined ? message : `because of ${blame}`
  return encodeCause('TASK_DEPENDENCY', `${task} waits for ${on}, which never began: ${because}`, {
    blame,
    cause
  })
}

/** What is passed on of a failure: it may be told thousands of times. */
function readFailure(bytes: Uint8Array): {
  code: unknown
  name: string
  message: string
  stack: string
  blame: string | undefined
  cause: unknown
} {
  let found: Record<string, unknown> = {}
  try {
    found = Object(JSON.parse(toText(bytes)))
  } catch {
    // Of another version; it has failed all the same.
  }
  const told = (field: string, most: number): string => String(found[field] ?? '').slice(0, most)
  const { code, blame, cause } = found
  const name = told('name', 200)
  return {
    code,
    name,
    message: told('message', causeMessageMax),
    stack: told('stack', causeStackMax),
    blame: typeof blame === 'string' ? blame.slice(0, 128) : undefined,
    cause
  }
}

function encodeCause(
  code: ErrorCode,
  message: string,
  more: { readonly blame?: string | undefined; readonly cause?: unknown } = {}
): Uint8Array {
  return fromString(JSON.stringify({ code, name: code, message, stack: '', ...more }))
}
