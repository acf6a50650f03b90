/**
 * What a task printed, in outcomes that its owner makes of what it heard.
 *
 * Not here: how it is caught, and that it reaches the pool (executor/task.test.ts).
 */
import { expect, test } from 'vitest'
import type { PeerId } from '../../src/ids.ts'
import { STATUS } from '../../src/tasks/batch.ts'
import { nodes, Solo } from './solo.ts'

test.each([
  { last: 'ends its third engine', status: STATUS.lost, printed: 'third', stdout: 'third' },
  { last: 'ends its third engine without a word', status: STATUS.lost, printed: '', stdout: '' },
  { last: 'ends well', status: STATUS.ok, printed: 'third', stdout: 'third' }
])(
  'what an outcome says was printed is what the last attempt printed, which $last',
  ({ status, printed, stdout }) => {
    const solo = new Solo(1)
    const [a, b, c] = nodes(3) as [PeerId, PeerId, PeerId]
    for (const [i, peer] of [a, b].entries()) {
      solo.claim(peer, 1, 0, i)
      solo.outcome(peer, 0, STATUS.lost, i + 1, i, 'code 9', 'before')
    }
    solo.claim(c, 1, 0, 3)
    solo.outcome(c, 0, status, 3, 3, status === STATUS.lost ? 'code 9' : '', printed)
    const { code, message, stdout: said } = solo.ended.get(0) ?? {}
    expect(said).toBe(stdout)
    if (status === STATUS.lost)
      expect(message).toContain('node1/3 (code 9), node2/3 (code 9), node3/3 (code 9);')
    expect(code).toBe(status === STATUS.lost ? 'TASK_POISONED' : 'ok')
  }
)
