/**
 * Parsing at the edge: what was encoded is read back, and anything else is SHOAL_BAD_MESSAGE, never a crash.
 *
 * Not here: streams (node/transport.test.ts) and what messages cause (the simulator).
 */
import { decode, encode } from 'cborg'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { clientMessages, entryMessages } from '../src/client/protocol.ts'
import { ShoalError } from '../src/errors.ts'
import type { JobId, PeerId, ShardKey } from '../src/ids.ts'
import {
  gossipMessages,
  joinFrame,
  type PeerMessage,
  peerMessages,
  splitFrame
} from '../src/node/messages.ts'
import { anywhere } from '../src/routing/requirement.ts'
import { pack } from '../src/tasks/batch.ts'
import { firstSeating } from '../src/tasks/keepers.ts'

const codecs = [peerMessages, clientMessages, entryMessages, gossipMessages]

/** True if these bytes were taken; any error but SHOAL_BAD_MESSAGE fails the test. */
function isTaken(parse: () => unknown): boolean {
  try {
    parse()
    return true
  } catch (error) {
    if (error instanceof ShoalError && error.code === 'SHOAL_BAD_MESSAGE') return false
    throw error
  }
}

const key = 'abcdefgh/0/0' as ShardKey
const [a, b] = ['peerA', 'peerB'] as [PeerId, PeerId]
const parent = { key: 'ijklmnop/1/0' as ShardKey, keepers: [a, b], index: 3 }
const header = {
  job: 'abcdefgh' as JobId,
  name: 'squares',
  code: 'A'.repeat(43) as never,
  exportName: 'default',
  retries: 1,
  timeoutMs: 0,
  priority: -0.5,
  submittedAt: 1.5e12,
  queueTimeoutMs: 5_000,
  retentionMs: 60_000,
  atMostOnce: true,
  submitter: '',
  requires: anywhere,
  depth: 0,
  around: [],
  parent: [parent]
}
const inputs = pack('', [0, 1], [Uint8Array.of(1, 2), new Uint8Array(0)])
const record = {
  key,
  ...firstSeating([a, b]),
  copies: 3,
  header,
  first: 7,
  count: 2,
  shards: 3,
  inputs,
  root: [],
  needs: []
}
const messages: PeerMessage[] = [
  { kind: 'store', record, isRepair: false },
  {
    kind: 'promised',
    key,
    list: 0,
    ballot: 17,
    accepted: [{ ballot: 1, outcomes: pack(a, [1], [Uint8Array.of(9)]) }],
    part: 0,
    parts: 1
  },
  { kind: 'claim', tasks: 12, received: 3, room: [], isLast: false, depth: 0 },
  { kind: 'grant', key, header, list: 0, keepers: [a], first: 7, attempt: 2, waiting: 5, inputs, seat: 1 },
  { kind: 'watch', key, have: Uint32Array.of(0, 64_000) }
]

test('messages are read back as they were', () => {
  for (const message of messages) expect(peerMessages.parse(peerMessages.encode(message))).toEqual(message)
  const parts = messages.map((message) => new Uint8Array(peerMessages.encode(message)))
  expect(splitFrame(joinFrame(parts))).toEqual(parts)
})

test('what older nodes say, and disks hold, of a job is that no task is known to have submitted it', () => {
  const [kind, fields] = decode(peerMessages.encode(messages[0] as PeerMessage))
  const at = Object.keys(record).indexOf('header')
  fields[0][at].pop()
  const older = { ...record, header: { ...header, parent: [] } }
  expect(peerMessages.parse(encode([kind, fields]))).toEqual({ kind, record: older, isRepair: false })
})

test('random bytes are no message', () => {
  const bytes = fc.uint8Array({ maxLength: 200 })
  fc.assert(
    fc.property(bytes, (input) => {
      for (const codec of codecs) isTaken(() => codec.parse(input))
      isTaken(() => splitFrame(input))
    }),
    { numRuns: 5_000 }
  )
})

test('a message with any of its bytes changed, cut or repeated is another message or none', () => {
  const valid = fc.constantFrom(...messages.map((message) => peerMessages.encode(message)))
  fc.assert(
    fc.property(
      valid,
      fc.nat(),
      fc.nat(255),
      fc.constantFrom('set', 'cut', 'add'),
      (bytes, at, value, how) => {
        const place = at % bytes.length
        const changed = bytes.slice(0, how === 'cut' ? place : bytes.length)
        if (how === 'set') changed[place] = value
        isTaken(() =>
          peerMessages.parse(how === 'add' ? Buffer.concat([changed, bytes.subarray(place)]) : changed)
        )
      }
    ),
    { numRuns: 5_000 }
  )
})

test('every limit is checked: one more than allowed is refused', () => {
  const long = { ...header, name: 'x'.repeat(129) }
  const wrong: PeerMessage[] = [
    { kind: 'store', record: { ...record, header: long }, isRepair: false },
    { kind: 'store', record: { ...record, count: 3 }, isRepair: false },
    { kind: 'store', record: { ...record, keepers: new Array(16).fill(a) }, isRepair: false },
    {
      kind: 'store',
      record: { ...record, inputs: { ...inputs, ends: Uint32Array.of(2, 1) } },
      isRepair: false
    },
    {
      kind: 'store',
      record: { ...record, inputs: { ...inputs, indexes: Uint32Array.of(1, 1) } },
      isRepair: false
    },
    { kind: 'claim', tasks: 65_537, received: 0, room: [], isLast: false, depth: 0 },
    { kind: 'claim', tasks: -1, received: 0, room: [], isLast: false, depth: 0 },
    {
      kind: 'store',
      record: { ...record, header: { ...header, parent: [parent, parent] } },
      isRepair: false
    },
    {
      kind: 'store',
      record: { ...record, header: { ...header, parent: [{ ...parent, index: 1_024 }] } },
      isRepair: false
    },
    { kind: 'inquire', key: 'no key' as ShardKey }
  ]
  for (const message of wrong)
    expect(isTaken(() => peerMessages.parse(peerMessages.encode(message)))).toBe(false)
})
