/**
 * Permits at the owner: whose may be used, and how often.
 *
 * Not here: real nodes that are killed and come back (test/integration/promises.test.ts).
 * An owner grants what it asked for itself; what it took over may have been used by a holder that no longer knows.
 */
import { expect, test } from 'vitest'
import type { PeerId } from '../../src/ids.ts'
import { holderAwayMs, Once } from '../../src/tasks/once.ts'
import { permitsFor } from '../../src/tasks/permits.ts'
import { Queue } from '../../src/tasks/queue.ts'
import { Story } from '../../src/tasks/story.ts'

const [ada, ben] = ['12D3KooWada', '12D3KooWben'] as [PeerId, PeerId]

function held(): Queue {
  const queue = new Queue(4, 1)
  for (const index of [0, 1, 2]) queue.hold(index, ada, 1)
  return queue
}

test('a permit that was asked for is granted once it is committed, and then never again', () => {
  const [once, queue] = [new Once(new Story()), held()]
  const permits = permitsFor(ada, [0, 2], 1)
  once.asked(permits)
  expect(once.permitted(permits, queue)).toEqual([{ holder: ada, attempt: 1, indexes: [0, 2] }])
  expect(once.permitted(permits, queue)).toEqual([])
})

test('a permit that was taken over is granted to nobody, whoever holds the task', () => {
  const [once, queue] = [new Once(new Story()), held()]
  expect(once.permitted(permitsFor(ada, [0, 1], 1), queue)).toEqual([])
})

test('a permit is not granted when its task went elsewhere before it was committed', () => {
  const [once, queue] = [new Once(new Story()), held()]
  const [first, second] = [permitsFor(ada, [0], 2), permitsFor(ben, [1], 1)]
  once.asked(first)
  once.asked(second)
  expect(once.permitted(first, queue)).toEqual([])
  expect(once.permitted(second, queue)).toEqual([])
})

test('what a holder was not granted yet is not asked of it, and waits again if it goes away', () => {
  const [once, queue] = [new Once(new Story()), held()]
  once.asked(permitsFor(ada, [0], 1))
  expect(once.granted(ada, queue)).toEqual([1, 2])
  const isUp = (peer: PeerId): boolean => peer !== ada
  once.look(queue, 0, isUp)
  once.look(queue, holderAwayMs, isUp)
  expect(once.take()).toEqual([1, 2])
  expect(queue.isHeldBy(0, ada)).toBe(false)
  expect(queue.take(ben, 4, true)?.indexes).toContain(0)
})
