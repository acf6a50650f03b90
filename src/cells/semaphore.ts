/**
 * What commands do to a semaphore, and to a lock, which is one of a single permit.
 *
 * Not here: time. Whose lease has run out is found by a member (coordinator.ts), which says so by a command that counts only if
 * the holder has not renewed meanwhile.
 */
import { type Command, done, holdersMax, refused, type StateOf } from './commands.ts'
import type { Applied } from './state.ts'

export function applyToSemaphore(state: StateOf<'semaphore'>, command: Command): Applied {
  const { holders, permits } = state
  switch (command.kind) {
    case 'acquire': {
      const { lease, leaseMs, permits: asked, isPatient } = command
      const own = holders.find((one) => one.lease === lease)
      if (own !== undefined) return { answer: { kind: 'granted', token: own.token } }
      // The first one to use it says how many there are.
      const most = permits === 0 ? asked : permits
      if (most !== asked || most === 0) return { answer: refused('other size') }
      if (holders.length >= Math.min(most, holdersMax))
        return isPatient ? 'wait' : { state, answer: refused('not now') }
      const token = state.token + 1
      const holder = { lease, token, leaseMs, renewals: 0 }
      return {
        state: { ...state, permits: most, token, holders: [...holders, holder] },
        answer: { kind: 'granted', token }
      }
    }
    case 'renew': {
      if (!holders.some(({ lease }) => lease === command.lease)) return { answer: { kind: 'gone' } }
      const renewed = holders.map((one) =>
        one.lease === command.lease ? { ...one, renewals: one.renewals + 1 } : one
      )
      return { state: { ...state, holders: renewed }, answer: done }
    }
    case 'release':
    case 'expire': {
      const rest = holders.filter(
        ({ lease, renewals }) =>
          lease !== command.lease || (command.kind === 'expire' && renewals !== command.renewals)
      )
      if (rest.length === holders.length) return { answer: { kind: 'gone' } }
      return { state: { ...state, holders: rest }, answer: done }
    }
    case 'read':
      return { answer: { kind: 'count', count: holders.length, most: permits } }
    default:
      return { answer: refused('other kind') }
  }
}
