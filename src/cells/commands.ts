/**
 * What a cell is, what may be asked of it, and what it answers: the values, with their limits and their bytes.
 *
 * Not here: what a command does (variable.ts, event.ts, semaphore.ts, queue.ts; state.ts for what they share).
 */
import { added, bytes, codec, flag, list, type MessageOf, type Of, record, text, uint } from '../wire.ts'

/** A value in a variable or a queue, encoded. Larger ones are put as data, and their Ref is kept here. */
export const cellValueBytesMax = 64 << 10
/** Items of a queue, together. */
export const queueBytesMax = 256 << 10
export const queueItemsMax = 10_000
/** Who holds one semaphore at a time. */
export const holdersMax = 1_024
/** Commands of which a cell knows that they were done, and what it answered. */
export const rememberedMax = 128
export const rememberedBytesMax = 64 << 10
export const leaseMsMax = 24 * 3_600_000

const value = bytes(cellValueBytesMax)
const lease = text(64)

const remembered = record({ id: text(64), version: uint(), answer: bytes(80 << 10) })
/** `version` counts changes. What was done up to `forgotten` is not remembered any more. */
const common = { version: uint(), forgotten: uint(), done: list(remembered, rememberedMax + 1) }
const holder = record({ lease, token: uint(), leaseMs: uint(leaseMsMax), renewals: uint() })
export type Holder = Of<typeof holder>

const stateKinds = {
  variable: { ...common, value: list(value, 1) },
  event: { ...common, isSet: flag },
  /** A lock has one permit. `token` is the last one that was given out. */
  semaphore: { ...common, permits: uint(), token: uint(), holders: list(holder, holdersMax) },
  /** `size` is what it may hold, once somebody has put something; 0 for as much as there is room. */
  queue: { ...common, size: uint(), items: list(value, queueItemsMax), wasUsed: added(flag, true) }
} as const
export const states = codec(stateKinds)
export type State = MessageOf<typeof stateKinds>
export type StateOf<K extends State['kind']> = Extract<State, { kind: K }>

/** `isPatient`: waits until it can be done. */
const commandKinds = {
  read: {},
  /** Until a variable is set, to something newer than version `since`; until an event is set. */
  wait: { since: uint() },
  /** If `unless` is there, only if the variable has not changed since that version. No value: unsets it. */
  set: { value: list(value, 1), unless: list(uint(), 1) },
  raise: { isSet: flag },
  acquire: { lease, leaseMs: uint(leaseMsMax), permits: uint(holdersMax), isPatient: flag },
  renew: { lease },
  release: { lease },
  put: { value, size: uint(queueItemsMax), isPatient: flag },
  take: { isPatient: flag },
  /** Said under the id of an earlier command of a queue: its answer if that was done; else it never will be. */
  cancel: {},
  /** By a member, which has seen no renewal for long enough. */
  expire: { lease, renewals: uint() }
} as const
export const commands = codec(commandKinds)
export type Command = MessageOf<typeof commandKinds>
export type CommandOf<K extends Command['kind']> = Extract<Command, { kind: K }>

const answerKinds = {
  done: {},
  value: { value: list(value, 1) },
  granted: { token: uint() },
  /** The lease is not held, or not any more. */
  gone: {},
  /** What is there, and how much may be. */
  count: { count: uint(), most: uint() },
  /** It cannot be done now, or never: `because` is one of `refusals`. */
  refused: { because: text(16) }
} as const
export const answers = codec(answerKinds)
export type Answer = MessageOf<typeof answerKinds>

export type Refusal = 'not now' | 'changed' | 'other size' | 'too much' | 'other kind'
export const refused = (because: Refusal): Answer => ({ kind: 'refused', because })
export const done: Answer = { kind: 'done' }

export const cellSorts = ['variable', 'event', 'lock', 'semaphore', 'queue', 'job'] as const
export type CellSort = (typeof cellSorts)[number]
const NAME = /^(variable|event|lock|semaphore|queue|job):[^\p{C}]{1,128}$/u
export const isCellName = (cell: string): boolean => NAME.test(cell)

export const isSame = (a: Uint8Array, b: Uint8Array): boolean =>
  a.byteLength === b.byteLength && a.every((byte, at) => byte === b[at])
