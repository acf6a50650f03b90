/**
 * What may be given to a node, and on which Node.js.
 *
 * Not here: what options do. Whatever cannot be used is refused before anything is opened, and by its name.
 */
import { expect, test } from 'vitest'
import { makeFolder } from '../../src/node/folder.ts'
import { createKey } from '../../src/node/key.ts'
import { createNode } from '../../src/node/node.ts'
import { checkDrain, checkOptions } from '../../src/node/options.ts'
import { openStore } from '../../src/node/store.ts'
import { checkRuntime } from '../../src/version.ts'

const key = createKey()
const refused = {
  key: [undefined, null, 5, 'lab.key'],
  slots: [-1, 1.5, Number.NaN, '4', 257],
  roles: ['engine', ['boss'], 5],
  labels: ['gpu', ['gpu'], { gpu: 3 }, { '': 'x' }, null],
  resources: ['gpu', ['gpu'], { gpu: -1 }, { gpu: 0.5 }, { gpu: '2' }, null],
  listen: ['/ip4/127.0.0.1/tcp/0', [5], null],
  peers: ['/ip4/127.0.0.1/tcp/1', [5], null],
  data: ['', 5, null],
  mdns: ['no', 0, null],
  hosted: ['yes', 1],
  allowRun: ['yes', 1],
  isolation: ['container', null],
  when: ['never', '', 5, null],
  hours: ['', '19:00', '19-07', '25:00-07:00', '19:60-07:00', '07:00-07:00', '24:01-07:00', 19, null],
  idle: [
    5,
    'soon',
    null,
    [],
    { after: -1 },
    { after: '900' },
    { after: null },
    { load: Number.NaN },
    { handBackAfter: -1 },
    { lookEvery: 19 },
    { lookEvery: 2 ** 31 },
    { since: 5 }
  ],
  nice: [-1, 20, 1.5, Number.NaN, '5', null],
  drainTimeout: [-1, Number.NaN, '5', null],
  heapMb: [0, 31, 64.5, Number.NaN, '64', null],
  probe: [5, null, {}, { idleMs: () => 0, load: () => 0 }],
  onNote: ['stderr', null],
  slot: [4]
}
for (const [name, values] of Object.entries(refused)) {
  for (const value of values) {
    test(`the option ${name}: ${JSON.stringify(value)} is refused by its name`, () => {
      const check = (): unknown => checkOptions({ key, [name]: value } as never)
      expect(check).toThrow(expect.objectContaining({ code: 'SHOAL_BAD_OPTION' }))
      expect(check).toThrow(/label/.test(name) ? 'label' : name)
    })
  }
}

test('without options one is told to give a key', async () => {
  for (const nothing of [undefined, null, {}, 'lab.key'])
    await expect(createNode(nothing as never)).rejects.toThrow(
      expect.objectContaining({ code: 'SHOAL_BAD_OPTION' })
    )
  await expect(createNode(undefined as never)).rejects.toThrow('key')
})

test('how a node is drained is checked', () => {
  for (const given of [null, 5, { timeout: -1 }, { timeout: Number.NaN }, { timeout: '5' }, { within: 5 }])
    expect(() => checkDrain(30_000, given as never), JSON.stringify(given)).toThrow(
      expect.objectContaining({ code: 'SHOAL_BAD_OPTION' })
    )
  expect([checkDrain(5_000), checkDrain(5_000, { timeout: 0 })]).toEqual([5_000, 0])
})

test('a folder that cannot be made is refused, also where the system says that it is not there', async () => {
  for (const data of ['/proc/shoal', '/dev/null', '/dev/null/x']) {
    await expect(openStore(data), data).rejects.toMatchObject({ code: 'SHOAL_DISK' })
    await expect(makeFolder(data)).rejects.toThrow()
  }
})

test('a Node.js that is too old is called so', () => {
  for (const version of ['20.20.2', '22.17.9', '18.0.0'])
    expect(() => checkRuntime(version)).toThrow(expect.objectContaining({ code: 'SHOAL_OLD_NODE' }))
  for (const version of ['22.18.0', '24.0.1', process.versions.node]) checkRuntime(version)
})
