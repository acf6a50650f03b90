/**
 * Temporary folders: they go with their process, however that ends, and never before.
 *
 * Not here: what nodes have in them (test/integration).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openTemporary, sweepTemporary } from '../../src/node/temporary.ts'

let base: string
const children: ChildProcess[] = []
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'shoal-test-'))
})
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  await rm(base, { recursive: true })
})

const code = `
const { openTemporary } = await import(${JSON.stringify(new URL('../../src/node/temporary.ts', import.meta.url).href)})
console.log((await openTemporary(${'process.argv[1]'})).folder)
setInterval(() => {}, 1000)`

/** A process that has one, with something in it. */
async function owner(): Promise<{ name: string; child: ChildProcess; kill(): Promise<void> }> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', code, base], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  children.push(child)
  const [line] = await once(child.stdout as NonNullable<typeof child.stdout>, 'data')
  const folder = String(line).trim()
  await mkdir(join(folder, 'data'))
  await writeFile(join(folder, 'data', 'file'), 'bytes')
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  return { name: basename(folder), child, kill }
}

test('what a killed process left goes; what belongs to one that lives or stands still stays', async () => {
  const [dead, alive, still] = await Promise.all([owner(), owner(), owner()])
  const own = await openTemporary(base)
  await mkdir(join(base, 'shoal-of-somebody'))
  still.child.kill('SIGSTOP')
  await dead.kill()
  await Promise.all([sweepTemporary(base), sweepTemporary(base)])
  const others = [basename(own.folder), 'shoal-of-somebody', alive.name, still.name]
  expect((await readdir(base)).sort()).toEqual(others.sort())
  await Promise.all([alive.kill(), still.kill(), own.close()])
  await sweepTemporary(base)
  expect(await readdir(base)).toEqual(['shoal-of-somebody'])
})

test('one that cannot answer, because its path is too long, is never taken for one that was left', async () => {
  const deep = join(base, 'x'.repeat(100))
  await mkdir(deep)
  const { folder, close } = await openTemporary(deep)
  await sweepTemporary(deep)
  expect(await readdir(deep)).toEqual([basename(folder)])
  await close()
  expect(await readdir(deep)).toEqual([])
})
