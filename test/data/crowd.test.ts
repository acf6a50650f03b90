/**
 * Many nodes want one piece of data at the same time: how long it takes, and how often each has to send it.
 *
 * Not here: real transfers (test/node/data.test.ts). Time is simulated: every node sends so many bytes a second, shared by
 * those whom it serves.
 */
import { expect, test } from 'vitest'
import { type Answer, Crowds } from '../../src/data/crowd.ts'
import { type DataId, dataId, type PeerId } from '../../src/ids.ts'
import { seededRandom } from '../../src/random.ts'
import { Clockwork } from '../sim/clockwork.ts'

const id: DataId = dataId('x'.padEnd(43, '_'), 1_000_000)
const transferMs = 100

interface Node {
  readonly peer: PeerId
  readonly crowds: Crowds
  /** Transfers under way from here. */
  sending: number
  sent: number
  has: boolean
}

/** Lets `count` nodes ask, first one of the three who have it. A transfer of a node in `dies` never arrives. */
function spread(count: number, dies: (at: number) => boolean = () => false) {
  const clock = new Clockwork()
  const random = seededRandom(7)
  const nodes: Node[] = Array.from({ length: count }, (_, at) => ({
    peer: `peer${at}` as PeerId,
    crowds: new Crowds(),
    sending: 0,
    sent: 0,
    has: at < 3
  }))
  const byPeer = new Map(nodes.map((node) => [node.peer, node]))
  const ask = (node: Node, line: readonly PeerId[]): void => {
    const [peer, ...rest] = line
    const from = byPeer.get(peer as PeerId)
    if (from === undefined) throw new Error(`${node.peer} found nobody`)
    if (!from.has) return ask(node, rest)
    const answered = (answer: Answer): void => {
      if (answer.kind === 'elsewhere')
        return clock.after(1, () => ask(node, [...answer.at, ...rest, from.peer]))
      from.sending++
      from.sent++
      clock.after(transferMs * from.sending, () => {
        from.sending--
        node.has = !dies(nodes.indexOf(node))
        from.crowds.ended(id, node.peer, node.has)
      })
    }
    from.crowds.ask(id, { peer: node.peer, answer: answered })
  }
  for (const node of nodes.slice(3))
    clock.after(random.next(), () => ask(node, [`peer${random.below(3)}` as PeerId]))
  while (nodes.some(({ has }, at) => !has && !dies(at)) && clock.tick(100_000));
  const { now } = clock
  while (clock.tick(100_000));
  return { ms: now, nodes }
}

test('a hundred nodes have it after a few rounds, and nobody sends it to more than a few', () => {
  const { ms, nodes } = spread(100)
  expect(nodes.every(({ has }) => has)).toBe(true)
  // From the three alone it would take 33 transfers one after the other.
  expect(ms).toBeLessThan(14 * transferMs)
  expect(Math.max(...nodes.map(({ sent }) => sent))).toBeLessThanOrEqual(16)
  expect(nodes.every(({ crowds }) => crowds.size === 0)).toBe(true)
})

test('nodes that are lost while they are sent it hold up nobody', () => {
  const { nodes } = spread(100, (at) => at > 2 && at % 4 === 0)
  expect(nodes.filter(({ has }) => has)).toHaveLength(76)
})
