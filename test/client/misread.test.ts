/**
 * What a client said that nobody can read: whose call it was is told, whatever else was said is heard, and it is not said again.
 *
 * Not here: the line that it comes over (test/node/misread.test.ts), and random bytes (test/fuzz).
 */
import { encode } from 'cborg'
import { expect, test } from 'vitest'
import { misreadMax, readSaid } from '../../src/client/misread.ts'
import { Orders } from '../../src/client/orders.ts'
import { clientMessages, type EntryMessage } from '../../src/client/protocol.ts'
import { Session } from '../../src/client/session.ts'
import type { SessionEffect } from '../../src/client/shards.ts'
import { type JobId, type PeerId, shardKey } from '../../src/ids.ts'
import { pack } from '../../src/tasks/batch.ts'
import { headerOf } from '../tasks/header.ts'

const job = 'job-0001' as JobId
const other = 'job-0002' as JobId
const header = headerOf({ job, name: 'x'.repeat(200) })
const copies = { wanted: 3, least: 2 }
const placement = { key: shardKey(job, 0, 0), keepers: ['peerA' as PeerId], first: 0, count: 1 }
const wrongPlace = { ...placement, count: 5_000 }
const inputs = pack('', [0], [new Uint8Array(1)])
const submit = { index: 0, epoch: 0, first: 0, shards: 1, copies, root: [], inputs, needs: [] }
const longText = 'x'.repeat(500)
const named = { ask: 7, cell: longText, id: 'a', base: 0, isFirst: true, command: new Uint8Array(1) }
const code = { digest: header.code, bytes: 'none' as never }

const wrong: Record<string, [never, Partial<EntryMessage>]> = {
  submit: [{ kind: 'submit', header, ...submit } as never, { kind: 'misread', about: job }],
  code: [{ kind: 'code', ...code } as never, { kind: 'misread', about: header.code }],
  follow: [
    { kind: 'follow', placement: wrongPlace, have: new Uint32Array(0) } as never,
    { kind: 'misread', about: job }
  ],
  cancel: [{ kind: 'cancel', placement: wrongPlace } as never, { kind: 'misread', about: job }],
  close: [{ kind: 'close', root: placement, shards: -1 } as never, { kind: 'misread', about: job }],
  find: [{ kind: 'find', job: longText } as never, { kind: 'misread', about: '' }],
  query: [
    { kind: 'query', ask: 9, what: 'explain', about: longText } as never,
    { kind: 'misread', about: '9' }
  ],
  command: [{ kind: 'command', ...named } as never, { kind: 'undecided', ask: 7 }],
  subscribe: [
    { kind: 'subscribe', ask: 8, name: longText, credit: 1 } as never,
    { kind: 'source-ended', ask: 8 }
  ]
}
for (const [kind, [message, answer]] of Object.entries(wrong)) {
  test(`a wrong ${kind} is answered to the call that it belongs to, as far as that can be read`, () => {
    const good = clientMessages.encode({ kind: 'query', ask: 1, what: 'members', about: '' })
    const said = readSaid([good, clientMessages.encode(message), good])
    expect(said.messages.map((one) => one.kind)).toEqual(['query', 'query'])
    const of = answer.kind === 'misread' ? { of: kind } : {}
    expect(said.answers).toEqual([
      {
        ...answer,
        ...of,
        code: 'SHOAL_BAD_MESSAGE',
        message: expect.stringMatching(`expected .* at ${kind}`)
      }
    ])
  })
}

test('what is no message at all, and a kind that is not known, are answered too', () => {
  const said = readSaid([
    Uint8Array.of(255),
    encode(['dance', [1]]),
    encode([{ toString: 1 }, []]),
    encode(5)
  ])
  expect(said.answers.map((one) => one.kind === 'misread' && [one.of, one.about])).toEqual([
    ['', ''],
    ['dance', ''],
    ['', ''],
    ['', '']
  ])
})

test('of more wrong words than the limit all are counted, and so many are answered', () => {
  const said = readSaid(Array.from({ length: misreadMax + 5 }, () => Uint8Array.of(255)))
  expect([said.misread, said.answers.length]).toEqual([misreadMax + 5, misreadMax])
})

const sent = (effects: readonly SessionEffect[]): string[] =>
  effects.flatMap((effect) => {
    if (effect.kind !== 'send') return []
    const { message } = effect
    return [message.kind === 'submit' ? `submit ${message.header.job}` : message.kind]
  })
const misread = (of: string, about: string): EntryMessage => ({
  kind: 'misread',
  of,
  about,
  code: 'SHOAL_BAD_MESSAGE',
  message: 'expected something else'
})

/** A client with two jobs of different code and one question, all of them sent. */
function busy(): Session {
  const session = new Session()
  session.attached(0)
  for (const [id, digest] of [
    [job, 'A'],
    [other, 'B']
  ] as const) {
    session.begin(headerOf({ job: id, code: digest.repeat(43) as never }), copies, new Uint8Array(1))
    session.add(id, inputs, true)
  }
  session.query('members')
  return session
}

/** What it says to its next entry. */
function again(session: Session): string[] {
  session.detached()
  return sent(session.attached(1_000))
}

test.each([
  ['submit', job],
  ['code', 'A'.repeat(43)]
])('a job of which the entry cannot read the %s fails, and nothing of it is said again', (of, about) => {
  const session = busy()
  expect(again(session)).toContain(`submit ${job}`)
  const effects = session.message(misread(of, about), 2_000)
  expect(effects.filter(({ kind }) => kind !== 'send')).toEqual([
    { kind: 'refused', job, code: 'SHOAL_BAD_MESSAGE', message: 'expected something else' }
  ])
  expect(again(session)).toEqual(['query', 'code', `submit ${other}`])
})

test('a question that the entry cannot read fails, and is not asked again', () => {
  const session = busy()
  const ask = 1
  expect(session.message(misread('query', '1'), 2_000)).toMatchObject([{ kind: 'misread', ask }])
  expect(again(session)).not.toContain('query')
  // Heard twice, nobody waits for it.
  expect(session.message(misread('query', '1'), 2_000)).toMatchObject([{ kind: 'misread', ask: undefined }])
})

test('what nobody knows the call of ends no call', () => {
  const session = busy()
  const before = again(session)
  for (const words of [
    misread('find', ''),
    misread('', ''),
    misread('withdraw', '1'),
    misread('submit', 'x')
  ])
    expect(session.message(words, 2_000)).toMatchObject([{ kind: 'misread', ask: undefined }])
  expect(again(session)).toEqual(before)
})

test('a command that the entry cannot read fails, and what it may have held is given back without end', () => {
  const orders = new Orders('me')
  orders.attached(0)
  const lock = { kind: 'acquire', lease: 'l', leaseMs: 9_000, count: 1, wait: true } as never
  const { ask } = orders.order(longText, lock, 0)
  const refusal = { kind: 'undecided', code: 'SHOAL_BAD_MESSAGE', message: '' } as const
  const effects = orders.message({ ...refusal, ask }, 1)
  expect(effects[0]).toMatchObject({ kind: 'failed', ask, code: 'SHOAL_BAD_MESSAGE' })
  // Giving it back cannot be read either.
  expect(orders.message({ ...refusal, ask: ask + 1 }, 2)).toEqual([])
  expect(orders.size).toBe(0)
})
