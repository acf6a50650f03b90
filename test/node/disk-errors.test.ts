/**
 * A disk that fails once, at any moment: what was put is whole or refused, and nothing is left behind.
 *
 * Not here: disks that really fail (test/integration/disks.test.ts).
 */
import { randomBytes } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { mkdtemp, readdir, readlink, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import type { DataId } from '../../src/ids.ts'
import { chunkBytes, chunksIn, chunksOfBytes } from '../../src/node/chunks.ts'
import { DataFiles } from '../../src/node/datafiles.ts'

/** Calls until one fails, and what it was. */
const disk = vi.hoisted(() => ({ left: Number.POSITIVE_INFINITY, failed: '' }))

vi.mock('node:fs/promises', async (importOriginal) => {
  const real = await importOriginal<typeof import('node:fs/promises')>()
  type Act = (...args: never[]) => Promise<unknown>
  const failing =
    (name: string, act: Act): Act =>
    async (...args) => {
      if (--disk.left !== 0) return await act(...args)
      disk.failed = name
      // What is closed is closed, whatever is said of it.
      if (name === 'close') await act(...args)
      throw Object.assign(new Error(`no ${name}`), { code: 'EIO' })
    }
  const methods = ['write', 'writeFile', 'read', 'sync', 'truncate', 'close'] as const
  const open = async (...args: Parameters<typeof real.open>): Promise<FileHandle> => {
    const file = await real.open(...args)
    for (const name of methods)
      Object.defineProperty(file, name, { value: failing(name, (file[name] as Act).bind(file)) })
    return file
  }
  const names = ['rename', 'rm', 'stat', 'lstat', 'readFile'] as const
  const failed = Object.fromEntries(names.map((name) => [name, failing(name, real[name] as Act)]))
  return { ...real, ...failed, open: failing('open', open as Act) }
})

const folders: string[] = []
afterEach(async () => {
  disk.left = Number.POSITIVE_INFINITY
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

/** How many files of the folder this process has open. */
async function openings(folder: string): Promise<number> {
  const fds = await readdir('/proc/self/fd').catch(() => [])
  const opened = await Promise.all(fds.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')))
  return opened.filter((one) => one.startsWith(folder)).length
}

async function comes(files: DataFiles, bytes: Uint8Array): Promise<DataId> {
  const { id, list, read } = chunksOfBytes(bytes)
  const part = await files.begin(id, list)
  for (const index of part.missing()) await files.write(part, index, await read(index))
  await files.finish(part)
  return id
}

const sizes = [400_000, chunkBytes + 1, 10]
const ways = {
  put: (files: DataFiles, bytes: Uint8Array): Promise<DataId> => files.add([bytes]),
  comes
}

test.each(Object.entries(ways))(
  'whatever fails as data %s and goes, the rest is as it should be',
  async (_how, come) => {
    for (let at = 1, isOver = false; !isOver; at++) {
      const folder = await mkdtemp(join(tmpdir(), 'shoal-test-'))
      folders.push(folder)
      const files = await DataFiles.open(folder)
      const before = await files.add([randomBytes(500_000)])
      await files.drop(before)
      disk.left = at
      const told: DataId[] = []
      for (const size of sizes) {
        const bytes = randomBytes(size)
        const id = await come(files, bytes).catch(() => undefined)
        if (id !== undefined) told.push(id)
        const last = id !== undefined && size === chunkBytes + 1 ? id : undefined
        if (last !== undefined && (await files.checkAgain(last).catch(() => true))) await files.drop(last)
        if (last !== undefined) told.pop()
      }
      isOver = disk.left > 0
      disk.left = Number.POSITIVE_INFINITY
      const what = `${at}: ${disk.failed}`
      expect([what, ...files.ids().sort()]).toEqual([what, ...told.sort()])
      for (const id of told) expect([what, await files.checkAgain(id)]).toEqual([what, true])
      // A file that came is closed a moment later.
      for (let turns = 0; turns < 1_000 && (await openings(folder)) > 0; turns++)
        await new Promise(setImmediate)
      expect([what, await openings(folder)]).toEqual([what, 0])
      await files.close()
      // What cannot be removed is left to the next start.
      if (disk.failed === 'rm') continue
      const names = told.flatMap((id) => (chunksIn(id) > 1 ? [id, `${id}.list`] : [id]))
      expect([what, ...(await readdir(files.folder)).sort()]).toEqual([what, ...names.sort()])
    }
  }
)
