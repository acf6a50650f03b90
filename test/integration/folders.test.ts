/**
 * Nodes whose folders go away under them: the one that they were started in, and their data.
 *
 * Not here: disks that go bad (disks.test.ts).
 */
import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Lab, untilStatus } from './processes.ts'

let lab: Lab

beforeEach(async () => {
  lab = await Lab.open()
})

afterEach(() => lab.close())

/** Starts a command in this folder. */
const inside = (folder: string, more = ''): string[] => [
  'sh',
  '-c',
  `mkdir ${folder}; cd ${folder}; ${more} exec "$@"`,
  'sh'
]
const square = (x: number): number => x * x
const exit = (): void => process.exit(1)

test('a node that is started in a folder that is gone runs functions', async () => {
  const folder = join(lab.folder, 'gone')
  const node = await lab.start('n1', [], { within: inside(folder, `rmdir ${folder};`) })
  const mesh = await lab.attach(node)
  expect(await mesh.map(square, [1, 2, 3])).toEqual([1, 4, 9])
})

test('a node whose working folder is removed replaces engines, and keeps its work where it was', async () => {
  const folder = join(lab.folder, 'gone')
  const node = await lab.start('n1', [], {
    within: inside(folder),
    data: '../data',
    more: { allowRun: true }
  })
  const mesh = await lab.attach(node)
  expect(await mesh.map(square, [1, 2, 3])).toEqual([1, 4, 9])
  await rm(folder, { recursive: true })
  await expect(mesh.submit(exit, [])).rejects.toMatchObject({ code: 'TASK_POISONED' })
  expect(await mesh.map(square, [1, 2, 3])).toEqual([1, 4, 9])
  const [ran] = await mesh.run({ command: 'pwd' })
  expect(ran?.stdout).toContain(join(lab.folder, 'data', 'scratch'))
})

test.each(['removed', 'moved away'])(
  'a node whose data folder is %s says so, and takes no work into nothing',
  async (how) => {
    const node = await lab.start('n1')
    const mesh = await lab.attach(node)
    expect(await mesh.map(square, [1, 2, 3])).toEqual([1, 4, 9])
    const data = join(lab.folder, 'n1')
    if (how === 'removed') await rm(data, { recursive: true })
    else {
      await rename(data, `${data}-old`)
      await mkdir(data)
    }
    const noted = await node.noted('stops keeping shards')
    expect(noted).toMatch(/the folder .*n1.* is gone; restart this node once its disk is in order/)
    await untilStatus(mesh, ([status]) => status?.disk.endsWith('is gone') === true)
    await expect(mesh.map(square, [1])).rejects.toMatchObject({ code: 'SHOAL_NO_KEEPERS' })
  }
)
