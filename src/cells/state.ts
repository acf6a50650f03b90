/**
 * A cell as a pure function: a state and a command give the next state and an answer, each command at most once.
 *
 * Not here: how members agree on which commands there were (proposer.ts).
 * What was done lately is remembered in the state, by the id of the command, so one that comes again is answered and not done
 * again. A command says which version it was made at: if the cell has forgotten what was done since, nobody can tell.
 */
import {
  type Answer,
  answers,
  type Command,
  commands,
  rememberedBytesMax,
  rememberedMax,
  type State,
  states
} from './commands.ts'
import { applyToQueue } from './queue.ts'
import { applyToSemaphore } from './semaphore.ts'
import { applyToEvent, applyToVariable } from './variable.ts'

/**
 * Without a state nothing has changed, and to do it again is to be answered as the cell is then. With one it is remembered: also
 * that something could not be done, where it would be done, with nobody to hear of it, if it came a second time.
 */
export type Applied = { readonly state?: State; readonly answer: Answer } | 'wait'

export interface Order {
  readonly id: string
  readonly base: number
  readonly command: Command
}

export type Verdict =
  /** `version`: which the cell had when it was done. */
  | { readonly word: 'decided'; readonly state: State; readonly answer: Uint8Array; readonly version: number }
  | { readonly word: 'waiting' | 'stale'; readonly state: State }

/** To do these twice is to do them once, whatever was done in between. */
const repeatable: ReadonlySet<Command['kind']> = new Set<Command['kind']>([
  'read',
  'wait',
  'acquire',
  'renew',
  'release'
])

/** Of a cell that nobody has used yet; `name` is a cell's name. */
export function newState(name: string): State {
  const common = { version: 0, forgotten: 0, done: [] }
  const sort = name.slice(0, name.indexOf(':'))
  if (sort === 'variable' || sort === 'job') return { kind: 'variable', ...common, value: [] }
  if (sort === 'event') return { kind: 'event', ...common, isSet: false }
  if (sort === 'queue') return { kind: 'queue', ...common, size: 0, items: [], wasUsed: false }
  return { kind: 'semaphore', ...common, permits: 0, token: 0, holders: [] }
}

export function decide(state: State, { id, base, command }: Order): Verdict {
  const before = state.done.find((one) => one.id === id)
  if (before !== undefined) return { word: 'decided', state, answer: before.answer, version: before.version }
  if (base < state.forgotten && !repeatable.has(command.kind)) return { word: 'stale', state }
  const applied = apply(state, command)
  if (applied === 'wait') return { word: 'waiting', state }
  const answer = answers.encode(applied.answer)
  if (applied.state === undefined) return { word: 'decided', state, answer, version: state.version }
  const version = state.version + 1
  const next = { ...applied.state, version }
  // Renewals are many, and one more does no harm.
  const isForgotten = command.kind === 'renew'
  return {
    word: 'decided',
    state: isForgotten ? next : remember(next, { id, version, answer }),
    answer,
    version
  }
}

/** What a member does by itself: once or twice is the same. */
export function change(state: State, command: Command): State {
  const applied = apply(state, command)
  return applied === 'wait' || applied.state === undefined
    ? state
    : { ...applied.state, version: state.version + 1 }
}

function apply(state: State, command: Command): Applied {
  switch (state.kind) {
    case 'variable':
      return applyToVariable(state, command)
    case 'event':
      return applyToEvent(state, command)
    case 'semaphore':
      return applyToSemaphore(state, command)
    case 'queue':
      return applyToQueue(state, command)
  }
}

function remember(state: State, one: State['done'][number]): State {
  const done = [...state.done, one]
  let { forgotten } = state
  let bytes = done.reduce((sum, { answer }) => sum + answer.byteLength, 0)
  while (done.length > rememberedMax || (bytes > rememberedBytesMax && done.length > 1)) {
    const oldest = done.shift()
    if (oldest === undefined) break
    forgotten = oldest.version
    bytes -= oldest.answer.byteLength
  }
  return { ...state, done, forgotten }
}

/** `undefined` for bytes that are no command, or one that only members give. */
export function parseCommand(bytes: Uint8Array): Command | undefined {
  try {
    const command = commands.parse(bytes)
    return command.kind === 'expire' ? undefined : command
  } catch {
    return undefined
  }
}

/** What a member has accepted. Bytes that are no state of this cell are one that nobody has used, as nobody could read them. */
export function parseState(name: string, bytes: Uint8Array | undefined): State {
  const fresh = newState(name)
  if (bytes === undefined) return fresh
  try {
    const state = states.parse(bytes)
    return state.kind === fresh.kind ? state : fresh
  } catch {
    return fresh
  }
}
