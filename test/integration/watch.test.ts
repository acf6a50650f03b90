/**
 * `shoal watch`, and handles of tasks that are opened elsewhere.
 *
 * Not here: other commands (command.test.ts).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connect, writeKey } from '../../src/index.ts'
import { Mesh } from '../conformance/mesh.ts'
import { programOf } from './prepare.ts'

const command = programOf(new URL('../../bin/shoal.ts', import.meta.url))
let mesh: Mesh
let address: string

beforeAll(async () => {
  mesh = await Mesh.open(1, { slots: 2 })
  address = mesh.nodes[0]?.addresses[0] ?? ''
  await writeKey(join(mesh.folder, 'lab.key'), mesh.key)
})
afterAll(() => mesh.close())

function shoal(...args: string[]): ChildProcess {
  const reach = ['--key', join(mesh.folder, 'lab.key'), '--peer', address, '--no-mdns', '--timeout', '60']
  return spawn(process.execPath, [command, ...args, ...reach], { stdio: 'pipe' })
}

/** All of stdout until it holds the text. */
async function until(child: ChildProcess, text: string): Promise<string> {
  let all = ''
  for await (const part of child.stdout?.iterator({ destroyOnReturn: false }) ?? []) {
    all += String(part)
    if (all.includes(text)) return all
  }
  throw new Error(`it ended without ${text}: ${all}`)
}

test('a job is watched to its end, and whether all went well is its exit code', async () => {
  const fine = mesh.client.map((x: number) => console.log(`seen ${x}`), [1, 2])
  const watched = shoal('watch', fine.id, '--json', '-v')
  expect(JSON.parse(await until(watched, '}'))).toEqual({
    job: fine.id,
    state: 'done',
    done: 2,
    total: 2,
    failed: 0
  })
  expect(String(watched.stderr?.read())).toContain('[0] seen 1')
})

test('of a job that nobody knows nothing is told but that', async () => {
  const asked = [shoal('watch', 'abcdefgh12345678'), shoal('result', 'abcdefgh12345678', '--progress')]
  const said = await Promise.all(asked.map(({ stderr }) => text(stderr as Readable)))
  const unknown = /^SHOAL_NOT_FOUND: no node .* knows the job abcdefgh12345678; `shoal jobs` lists .*\n$/
  expect(said).toEqual([expect.stringMatching(unknown), expect.stringMatching(unknown)])
})

test('the handle of a task is a string that anybody opens, anywhere', async () => {
  const task = mesh.client.submit((x: number) => x + 1, [41])
  await task.accepted
  const other = await connect({ key: mesh.key, peers: [address], mdns: false, timeout: 60_000 })
  const found = other.task<number>(JSON.parse(JSON.stringify(task.id)))
  expect(await found).toBe(42)
  expect(found.metadata?.attempt).toBe(1)
  expect(await other.task(`${task.id}:0`)).toBe(42)
  await expect(other.task(`${task.id}:1`)).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
  expect(() => other.task('no id')).toThrow(expect.objectContaining({ code: 'SHOAL_NOT_FOUND' }))
  await expect(other.task('unknown-to-all')).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
  await other.close()
})
