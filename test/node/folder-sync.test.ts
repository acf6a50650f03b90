/**
 * Names in a folder that are put on the disk together.
 *
 * Not here: a disk that fails (disk-errors.test.ts).
 */
import { expect, test } from 'vitest'
import { FolderSync } from '../../src/node/folder-sync.ts'

const turn = (): Promise<void> => new Promise(setImmediate)

test('who comes before a sync begins shares it, who comes later the next one', async () => {
  let begun = 0
  let ended = 0
  const disk = { opens: 0, syncs: [] as PromiseWithResolvers<void>[] }
  const sync = (): Promise<void> => {
    const one = Promise.withResolvers<void>()
    disk.syncs.push(one)
    return one.promise
  }
  const begins = (): (() => void) => {
    begun++
    return () => void ended++
  }
  const names = new FolderSync('folder', begins, async () => {
    disk.opens++
    return { sync, close: async () => {} }
  })
  const done: string[] = []
  const ask = (who: string): void => {
    names.done().then(
      () => done.push(who),
      (error: Error) => done.push(`${who}: ${error.message}`)
    )
  }
  for (const who of ['one', 'two']) ask(who)
  // In the moment when the first sync has ended, and the next one has not begun.
  void names.done().then(() => ask('at once'))
  await turn()
  for (const who of ['three', 'four', 'five']) ask(who)
  await turn()
  expect([disk.syncs.length, begun, ended, done]).toEqual([1, 1, 0, []])
  disk.syncs[0]?.resolve()
  await turn()
  expect([disk.syncs.length, begun, ended, done]).toEqual([2, 2, 1, ['one', 'two']])
  ask('six')
  disk.syncs[1]?.reject(new Error('EIO'))
  await turn()
  expect([begun, ended, done.slice(2)]).toEqual([
    3,
    1,
    ['three: EIO', 'four: EIO', 'five: EIO', 'at once: EIO']
  ])
  disk.syncs[2]?.resolve()
  await turn()
  expect([ended, done.slice(6)]).toEqual([2, ['six']])
  ask('seven')
  await turn()
  disk.syncs[3]?.resolve()
  await turn()
  expect([disk.opens, done.at(-1)]).toEqual([4, 'seven'])
})
