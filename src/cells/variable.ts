/**
 * What commands do to a variable, a value that was set last, and to an event, which is set or not.
 *
 * Not here: what they share with other cells (state.ts).
 */
import { type Command, done, refused, type StateOf } from './commands.ts'
import type { Applied } from './state.ts'

export function applyToVariable(state: StateOf<'variable'>, command: Command): Applied {
  switch (command.kind) {
    case 'read':
      return { answer: { kind: 'value', value: state.value } }
    case 'wait':
      // Its version is that of its last change.
      if (state.value.length === 0 || state.version <= command.since) return 'wait'
      return { answer: { kind: 'value', value: state.value } }
    case 'set': {
      const [unless] = command.unless
      if (unless !== undefined && unless !== state.version) return { answer: refused('changed') }
      return { state: { ...state, value: command.value }, answer: done }
    }
    default:
      return { answer: refused('other kind') }
  }
}

export function applyToEvent(state: StateOf<'event'>, command: Command): Applied {
  switch (command.kind) {
    case 'read':
      return { answer: { kind: 'count', count: Number(state.isSet), most: 1 } }
    case 'wait':
      return state.isSet ? { answer: done } : 'wait'
    case 'raise':
      return { state: { ...state, isSet: command.isSet }, answer: done }
    default:
      return { answer: refused('other kind') }
  }
}
