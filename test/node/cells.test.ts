/**
 * When a node founds a council: at once with all that it knows, and alone only if it can know that it is.
 *
 * Not here: what councils promise (test/sim/cells.ts).
 */
import { expect, test } from 'vitest'
import type { CellAnswer } from '../../src/cells/client-messages.ts'
import { commands } from '../../src/cells/commands.ts'
import { cellsMax } from '../../src/cells/council.ts'
import { Petitions } from '../../src/cells/petitions.ts'
import type { ClientId, PeerId } from '../../src/ids.ts'
import { NodeCore } from '../../src/node/core.ts'
import type { PeerMessage } from '../../src/node/messages.ts'
import { seededRandom } from '../../src/random.ts'
import { memberOf } from '../routing/member.ts'

const client = 'someone' as ClientId

/** A node without others, whose disk is as fast as its time is long. */
class Lone {
  readonly core: NodeCore
  readonly answers: CellAnswer[] = []
  readonly sent: { readonly to: PeerId; readonly message: PeerMessage }[] = []

  constructor(meetsWithinMs: number, self = 'peerA' as PeerId) {
    this.core = new NodeCore({
      me: memberOf(self),
      random: seededRandom(1),
      now: 0,
      meetsWithinMs
    })
    this.step({ kind: 'restored' }, 0)
    this.step({ kind: 'client-connected', client }, 0)
  }

  step(input: Parameters<NodeCore['step']>[0], now: number): void {
    for (const effect of this.core.step(input, now)) {
      if (effect.kind === 'reply') this.answers.push(effect.message as CellAnswer)
      if (effect.kind === 'send') this.sent.push(effect)
      if (effect.kind === 'persist') this.step({ kind: 'persisted', upTo: effect.id }, now)
    }
  }

  /** Sets a variable, and lets time pass. */
  set(ask: number, untilMs: number, fromMs = 0, name = 'v'): string | undefined {
    const command = commands.encode({ kind: 'set', value: [], unless: [] })
    const message = {
      kind: 'command',
      ask,
      cell: `variable:${name}`,
      id: `c-${ask}`,
      base: 0,
      isFirst: true,
      command
    } as const
    this.step({ kind: 'client-said', client, messages: [message] }, fromMs)
    for (let now = fromMs; now <= untilMs; now += 100) this.step({ kind: 'wake' }, now)
    const answer = this.answers.findLast((one) => one.kind !== 'noted' && 'ask' in one && one.ask === ask)
    return answer !== undefined && 'message' in answer ? answer.message : answer?.kind
  }
}

test('a node that can hear of no other is alone at once', () => {
  expect(new Lone(0).set(1, 0)).toBe('decided')
})

test('one that may hear of others waits until it would have', () => {
  const lone = new Lone(5_000)
  expect(lone.set(1, 4_900)).toBeUndefined()
  expect(lone.set(2, 8_000, 4_900)).toBe('decided')
})

test('one that was told of others refuses until it has met one, and says so', () => {
  expect(new Lone(Number.POSITIVE_INFINITY).set(1, 13_000)).toMatch(
    /^nothing was done: this node has met no other yet/
  )
})

test('no member of a council is asked for anything whose disk has failed', () => {
  const members = ['peerA', 'peerB', 'peerC'] as PeerId[]
  const council = { mesh: 'm', number: 1, members, before: [] }
  const command = { kind: 'command', ask: 1, cell: 'variable:v', id: 'c-1', base: 0, isFirst: true } as const
  const asked = (failed: readonly PeerId[]): PeerId[] => {
    const petitions = new Petitions({ canVote: (peer) => !failed.includes(peer) })
    petitions.serve(council, 0)
    const effects = petitions.command(client, { ...command, command: new Uint8Array(1) }, 0)
    return effects.flatMap((effect) => (effect.kind === 'send' ? [effect.to] : []))
  }
  const [first] = asked([]) as [PeerId]
  const [second] = asked([first]) as [PeerId]
  expect(members.filter((peer) => peer !== first)).toContain(second)
  expect(asked(members)).toEqual([])
})

test('a member that has not heard of its list is told of it by whoever names that list to it', () => {
  const [lost, other] = ['peerA', 'peerB'] as [PeerId, PeerId]
  const council = { mesh: 'm', number: 1, members: [lost, other], before: [] }
  const hears = (node: Lone, from: PeerId, messages: readonly PeerMessage[]): PeerMessage[] => {
    node.step({ kind: 'received', from, messages }, 1)
    return node.sent.splice(0).flatMap(({ to, message }) => (to === from ? [message] : []))
  }
  const [a, b] = [new Lone(0, lost), new Lone(0, other)]
  a.step({ kind: 'peer-connected', peer: other, addresses: ['/sim/b'] }, 1)
  b.step({ kind: 'peer-connected', peer: lost, addresses: ['/sim/a'] }, 1)
  hears(b, lost, [{ kind: 'council', council }])
  // What they said when they met is lost.
  a.sent.length = 0
  const asked = { mesh: 'm', number: 1, name: 'variable:v', id: 'c-1', base: 0, command: new Uint8Array(0) }
  const answers = hears(a, other, [{ kind: 'cell-ask', ...asked }])
  hears(a, other, hears(b, lost, answers))
  expect(a.core.cells.council).toEqual(council)
})

test('of names there are so many; who asks for one more is told that they are kept for good, and old ones go on', () => {
  const lone = new Lone(0)
  for (let at = 0; at < cellsMax; at++) lone.set(at, 0, 0, `of-order-${at}`)
  expect(lone.set(cellsMax, 0, 0, 'one-more')).toMatch(/no more names of locks.* than 65536, each for good/)
  expect(lone.set(cellsMax + 1, 0, 0, 'of-order-7')).toBe('decided')
})
