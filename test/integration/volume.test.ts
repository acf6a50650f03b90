/**
 * Data larger than a node's memory should ever hold, and results larger than a stream does, on real nodes. Long, so only `npm run test:long` runs it.
 *
 * Not here: what is shown with little data as well (data.test.ts).
 */
import { createHash, type Hash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Ref } from '../../src/index.ts'
import { upTo } from '../conformance/mesh.ts'
import { Lab, type NodeProcess, untilMeshed } from './processes.ts'

const minutes = 60_000
const MIB = 2 ** 20

let lab: Lab
beforeEach(async () => {
  lab = await Lab.open()
})
afterEach(() => lab.close())

/** Bytes that repeat nowhere, as one who reads a device into the same buffer would give them; `hash` hears of all. */
async function* noise(bytes: number, hash: Hash): AsyncGenerator<Uint8Array> {
  const piece = Buffer.alloc(MIB)
  for (let at = 0; at < bytes; at += piece.length) {
    for (let word = 0; word < piece.length; word += 4)
      piece.writeInt32LE(Math.imul((at + word) | 1, 0x9e3779b1), word)
    hash.update(piece)
    yield piece
  }
}

/** Resident bytes of a process, and the most there ever were. */
async function memoryOf({ pid }: NodeProcess): Promise<{ now: number; most: number }> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8')
  const of = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(text)?.[1]) * 1024
  return { now: of('VmRSS'), most: of('VmHWM') }
}

test('2 GiB go into the mesh and out again through nodes that take less than 100 MiB for it', {
  timeout: 20 * minutes
}, async () => {
  const nodes = await lab.mesh(3)
  const [entry, other] = nodes as [NodeProcess, NodeProcess, NodeProcess]
  const [client, reader] = [await lab.attach(entry), await lab.attach(other)]
  await untilMeshed(client, 3)
  const before = await Promise.all(nodes.map(memoryOf))
  const bytes = 2_048 * MIB
  const put = createHash('sha256')
  const ref = await client.put(noise(bytes, put))
  expect(ref.size).toBe(bytes)
  const got = createHash('sha256')
  for await (const piece of reader.stream(ref)) got.update(piece)
  expect(got.digest('hex')).toBe(put.digest('hex'))
  const after = await Promise.all(nodes.map(memoryOf))
  const more = after.map(({ most }, at) => Math.round((most - (before[at]?.now ?? 0)) / MIB))
  console.log(`MiB more, at the most: ${more.join(', ')}`)
  for (const one of more) expect(one).toBeLessThan(100)
})

test('50 tasks over 10 inputs of 100 MB on 5 nodes move less than twice the bytes of the inputs', {
  timeout: 20 * minutes
}, async () => {
  const nodes = await lab.mesh(5)
  const client = await lab.attach(nodes[0] as NodeProcess)
  await untilMeshed(client, 5)
  const size = 100_000_000
  const inputs: Ref[] = []
  for (let at = 0; at < 10; at++) inputs.push(await client.put(Buffer.alloc(size, at), { keepers: 1 }))
  const copies = async (): Promise<number> => {
    const all = await Promise.all(nodes.map(({ name }) => readdir(join(lab.folder, name, 'data'))))
    return all.flat().filter((name) => inputs.some((ref) => name === `${ref.hash}.${ref.size}`)).length
  }
  const before = await copies()
  const job = client.map(
    async (input: Uint8Array) => {
      await new Promise((resolve) => setTimeout(resolve, 200))
      return input[99]
    },
    Array.from({ length: 50 }, (_, at) => inputs[at % 10] as never),
    { keepers: 1 }
  )
  expect(await job).toEqual(Array.from({ length: 50 }, (_, at) => at % 10))
  const moved = ((await copies()) - before) / inputs.length
  console.log(`moved ${moved} times the inputs`)
  expect(moved).toBeLessThan(2)
})

test('400 MB of small results are read back through one node after all were killed and started again', {
  timeout: 10 * minutes
}, async () => {
  const nodes = await lab.mesh(3)
  const client = await lab.attach(nodes[0] as NodeProcess)
  await untilMeshed(client, 3)
  const job = client.map((n: number) => String(n).padEnd(50_000, '.'), upTo(8_192))
  const result = (text: string): number => (text.length === 50_000 ? Number.parseInt(text, 10) : -1)
  expect((await job).map(result)).toEqual(upTo(8_192))
  await client.close()
  await Promise.all(nodes.map((node) => node.kill()))
  const [back] = await lab.mesh(3)
  const reader = await lab.attach(back as NodeProcess)
  const from = performance.now()
  const results = await reader.job<string>(job.id)
  console.log(`read ${Math.round(400_000 / (performance.now() - from))} MB/s`)
  expect(results.map(result)).toEqual(upTo(8_192))
})
