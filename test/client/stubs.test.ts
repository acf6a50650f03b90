/**
 * What a blocked caller says that is for its own end only.
 *
 * Not here: the blocking client itself (test/integration/verbs.test.ts), and what travels (crossing.test.ts).
 */
import { expect, test } from 'vitest'
import type { Border, Channel } from '../../src/client/sync/channel.ts'
import type { Ask, Packed, Special } from '../../src/client/sync/protocol.ts'
import { Stubs } from '../../src/client/sync/stubs.ts'

const handed: Special = {
  kind: 'handed',
  id: 0,
  shape: 0,
  described: {
    name: 'Client',
    methods: ['submit', 'view', 'graph'],
    fields: [],
    isIterable: false,
    isFunction: false
  },
  constants: {}
}

type Client = Record<'submit' | 'view' | 'graph', (...args: unknown[]) => unknown>

/** A client whose host answers with nothing, and what it is asked. */
function client(): { readonly mesh: Client; readonly asked: Ask[] } {
  const asked: Ask[] = []
  const channel = {
    call(ask: Ask, border: Border): unknown {
      asked.push(ask)
      const answer: Packed = { value: undefined, gaps: [], aggregates: [] }
      return border.unpack(
        ask.verb === 'open' ? { ...answer, gaps: [{ path: [], special: handed }] } : answer
      )
    }
  } as unknown as Channel
  const mesh = new Stubs(channel).ask({ verb: 'open' }, client) as Client
  return { mesh, asked }
}

test.each([
  [true, true],
  [false, false],
  [undefined, true]
])('`block` as %s stays here', (block, waits) => {
  const { mesh, asked } = client()
  mesh.view('all', { block })
  mesh.submit(Math.max, [1], { block, retries: 2 })
  const calls = asked.flatMap((ask) => (ask.verb === 'call' ? [[ask.waits, ask.args.value]] : []))
  expect(calls).toStrictEqual([
    [waits, ['all', {}]],
    [waits, [undefined, [1], { retries: 2 }]]
  ])
})

test('`block` as anything else is refused by its name, where it is an option', () => {
  const { mesh, asked } = client()
  for (const block of [null, 0, 'no', {}])
    expect(() => mesh.view('all', { block })).toThrow(
      expect.objectContaining({
        code: 'SHOAL_BAD_OPTION',
        message: expect.stringMatching(/^`block` is .*; it is true or false$/)
      })
    )
  mesh.graph({ block: {} })
  mesh.submit(Math.max, [1, { block: 'no' }])
  expect(asked.length).toBe(3)
})
