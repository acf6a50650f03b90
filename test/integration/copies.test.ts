/**
 * Data folders that were copied, with the disk of a machine from which others were made, and that run beside each other.
 *
 * Not here: two processes on one folder, of which the second does not start (stopping.test.ts).
 */
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Lab, untilMeshed } from './processes.ts'

let lab: Lab
beforeEach(async () => {
  lab = await Lab.open()
})
afterEach(() => lab.close())

test('of two nodes on copies of one data folder the one that started last is turned away, is told so, and gets no work', async () => {
  const other = await lab.start('other', [], { slots: 0 })
  const first = await lab.start('first', [other])
  await first.kill()
  await cp(join(lab.folder, 'first'), join(lab.folder, 'copy'), { recursive: true })

  const original = await lab.start('first', [other], { more: { labels: { is: 'original' } } })
  const client = await lab.attach(other)
  await untilMeshed(client, 2)
  const copy = await lab.start('copy', [other, original], { more: { labels: { is: 'copy' } } })
  expect(copy.id).toBe(original.id)
  expect(await copy.noted('turned away')).toContain(`as this node, ${copy.id}, for longer`)
  expect(await copy.noted('turned away')).toContain('start it with an empty data folder')
  expect(await other.noted('turned away')).toContain(original.id)

  await untilMeshed(client, 2)
  const run = client.map(() => process.pid, Array.from({ length: 20 }), {
    requires: { labels: { is: 'original' } }
  })
  expect(new Set(await run)).toEqual(new Set([original.pid]))
  const [, seen] = (await client.status()).nodes.toSorted(({ id }) => (id === other.id ? -1 : 1))
  expect(seen).toMatchObject({ id: original.id, labels: { is: 'original' } })

  // Alone again, it is what it was: a copy that is started when the original has ended takes its place.
  await original.kill()
  await copy.kill()
  await lab.start('copy', [other], { more: { labels: { is: 'copy' } } })
  expect(await client.map(() => 1, [0], { requires: { labels: { is: 'copy' } } })).toEqual([1])
})
