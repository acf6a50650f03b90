/**
 * What commands do to a queue: first in, first out, of a size that its first user says.
 *
 * Not here: who waits for room or for an item (coordinator.ts). An item is given out once: who takes it and dies has had it.
 */
import { type Command, done, queueBytesMax, queueItemsMax, refused, type StateOf } from './commands.ts'
import type { Applied } from './state.ts'

export function applyToQueue(state: StateOf<'queue'>, command: Command): Applied {
  const { items, wasUsed } = state
  switch (command.kind) {
    case 'put': {
      const { value, size, isPatient } = command
      if (wasUsed && size > 0 && size !== state.size) return { answer: refused('other size') }
      const limit = wasUsed ? state.size : size
      const bytes = items.reduce((sum, item) => sum + item.byteLength, value.byteLength)
      const isFull = items.length >= (limit === 0 ? queueItemsMax : limit) || bytes > queueBytesMax
      if (isFull) return isPatient ? 'wait' : { state, answer: refused('not now') }
      return { state: { ...state, size: limit, items: [...items, value], wasUsed: true }, answer: done }
    }
    case 'take': {
      const [first, ...rest] = items
      if (first === undefined) return command.isPatient ? 'wait' : { state, answer: refused('not now') }
      return { state: { ...state, items: rest }, answer: { kind: 'value', value: [first] } }
    }
    // That it was refused is remembered under its id, so what is still on its way under that is refused, too.
    case 'cancel':
      return { state, answer: refused('not now') }
    case 'read':
      return { answer: { kind: 'count', count: items.length, most: state.size } }
    default:
      return { answer: refused('other kind') }
  }
}
