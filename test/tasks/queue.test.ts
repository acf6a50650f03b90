/**
 * What an owner tells the next one of tasks that are under way.
 *
 * Not here: granting (dispatch.test.ts, lead.test.ts), and the whole under faults (the simulator).
 */
import { expect, test } from 'vitest'
import type { PeerId } from '../../src/ids.ts'
import { Queue } from '../../src/tasks/queue.ts'

const peer = 'peerA' as PeerId
const handedOver = (queue: Queue, isOnce = false): number[][] => {
  const states = [...queue.states(isOnce)]
  return Array.from({ length: states.length / 4 }, (_, at) => states.slice(4 * at, 4 * at + 2))
}

test('what runs, or ended with an outcome that may not have left this node, has its next run as another attempt', () => {
  const queue = new Queue(4)
  queue.take(peer, 3, false)
  queue.propose(1)
  queue.propose(2)
  queue.commit(2)
  expect(handedOver(queue)).toEqual([
    [0, 2],
    [1, 2]
  ])
  const next = new Queue(4)
  next.inherit(queue.states(), queue.untried())
  expect([0, 1, 2, 3].map((index) => next.attempt(index))).toEqual([2, 2, 1, 1])
})

test('of tasks that may run once no further attempt is spoken of', () => {
  const queue = new Queue(2)
  queue.take(peer, 1, false)
  expect(handedOver(queue, true)).toEqual([])
})

test('what is heard to run keeps its number, and the run after it gets one that nobody had', () => {
  // The owner before had given attempt 2 of this task to somebody, too.
  const queue = new Queue(2, 3)
  queue.hold(0, peer, 1)
  expect(queue.attempt(0)).toBe(1)
  expect(handedOver(queue)[0]).toEqual([0, 3])
  queue.release(0, 'lost', peer)
  expect(queue.attempt(0)).toBe(3)
})

test('a task that an earlier owner had granted, and that is lost, waits until all it needs is known here', () => {
  const queue = new Queue(1)
  queue.holdBack()
  queue.hold(0, peer, 1)
  queue.release(0, 'lost')
  expect(queue.waiting).toBe(0)
  expect(queue.take(peer, 1, false)).toBeUndefined()
  queue.ready(0)
  expect(queue.take(peer, 1, false)?.indexes).toEqual([0])
  queue.check()
})

test('a task that never began is known as such to the next owner, whatever number its first run will have', () => {
  // An owner that took over without a word: attempt 1 may have been given.
  const queue = new Queue(2, 2)
  queue.take(peer, 1, false)
  queue.begin(0)
  const next = new Queue(2)
  next.inherit(queue.states(), queue.untried())
  expect(next.untried()).toEqual([1])
})

test('a task that waits for others stands in no line, though tasks are to be picked from one', () => {
  const queue = new Queue(2)
  queue.lineUp()
  queue.holdBack()
  expect(queue.take(peer, 2, false)).toBeUndefined()
  queue.ready(1)
  expect(queue.take(peer, 2, false)?.indexes).toEqual([1])
  queue.check()
})

test('of many tasks for few engines each engine is looked at once, and those of one that will not do may run anywhere', () => {
  const queue = new Queue(100)
  queue.holdBack()
  for (let task = 0; task < 100; task++) queue.ready(task, `${peer}/${task % 2}`)
  const asked: string[] = []
  queue.unplace((engine) => asked.push(engine) === 1)
  expect(asked).toEqual([`${peer}/0`, `${peer}/1`])
  expect([...queue.places.keys()]).toEqual(Array.from({ length: 50 }, (_, at) => 2 * at))
})
