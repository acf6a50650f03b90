/**
 * How much travels and how often, counted by the nodes themselves: code, files of programs, and data for a reader who takes his time.
 *
 * Not here: that it arrives (data.test.ts, programs.test.ts), and how long it takes (bench/). Nothing here depends on time: a node
 * that sends too much has sent it before something else that is waited for.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { type Client, connect, moduleFunction, type Node, type NodeOptions } from '../../src/index.ts'
import { chunkBytes } from '../../src/node/chunks.ts'
import { Mesh, until, upTo } from '../conformance/mesh.ts'

let mesh: Mesh
let client: Client
afterEach(async () => {
  await client.close()
  await mesh.close()
})

/** So many nodes, and a client that is attached to the first of them by the network. */
async function open(count: number, options: Partial<NodeOptions>): Promise<readonly Node[]> {
  mesh = await Mesh.open(count, options)
  const peers = [...(mesh.nodes[0] as Node).addresses]
  client = await connect({ key: mesh.key, peers, mdns: false })
  return mesh.nodes
}

const counts = (nodes: readonly Node[], name: string): number[] =>
  nodes.map(({ counters }) => counters[name] ?? 0)
const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0)

test('code is sent to each node once, stays on its disk, and is loaded by each engine once', async () => {
  const [first] = await open(2, { slots: 2 })
  const data = join(mesh.folder, 'third')
  const third = await mesh.join({ slots: 2, data })
  await mesh.untilMeshed()
  const file = join(mesh.folder, 'work.mjs')
  const codeBytes = 400_000
  const trace = JSON.stringify(join(mesh.folder, 'loads'))
  await writeFile(
    file,
    `import { appendFileSync } from 'node:fs'
     import { threadId } from 'node:worker_threads'
     appendFileSync(${trace}, threadId + '\\n')
     const ballast = ${JSON.stringify(randomBytes(codeBytes / 2).toString('hex'))}
     export async function work(n) {
       await new Promise((resolve) => setTimeout(resolve, 10))
       return [threadId, ballast.length + n]
     }`
  )
  const work = moduleFunction(file, 'work')
  const used = new Set<number>()
  const map = async (): Promise<void> => {
    const results = await client.map<[number, number]>(work, upTo(60))
    expect(results.map(([, length]) => length)).toEqual(upTo(60).map((n) => codeBytes + n))
    for (const [thread] of results) used.add(thread)
  }
  await map()
  // Every engine has had its part of one of them.
  while (used.size < 6) await map()
  await map()
  const loads = await mesh.trace('loads')
  expect(loads.map(Number).sort()).toEqual([...used].sort())
  expect(sum(counts(mesh.nodes, 'blobs-served'))).toBe(2)
  const came = first?.counters['bytes-in'] ?? 0
  expect(came).toBeGreaterThan(codeBytes)
  expect(came).toBeLessThan(1.5 * codeBytes)
  // Back with its disk, a node has what it needs.
  await mesh.take(third).stop()
  await mesh.join({ slots: 2, data })
  await mesh.untilMeshed()
  const { id } = mesh.nodes.at(-1) as Node
  const again = client.map<[number, number]>(work, upTo(4), { targets: [id] })
  expect((await again).map(([, length]) => length)).toEqual(upTo(4).map((n) => codeBytes + n))
  expect(again.metadata(0)?.engine.split('/')[0]).toBe(id)
  expect(sum(counts(mesh.nodes, 'blobs-served'))).toBe(2)
})

test('a file of many tasks is sent to each node once, also if it is given again by another name', async () => {
  const nodes = await open(3, { allowRun: true })
  const fileBytes = 3_000_000
  const content = randomBytes(fileBytes)
  const run = async (name: string): Promise<void> => {
    await mkdir(join(mesh.folder, name))
    const file = join(mesh.folder, name, 'table.csv')
    await writeFile(file, content)
    const each = upTo(12).map(String)
    const results = await client.run({
      command: 'sh',
      args: ['-c', 'echo {}; wc -c < table'],
      each,
      files: [{ path: file, as: 'table' }]
    })
    expect(results.map(({ stdout }) => stdout.split('\n').map((line) => line.trim()))).toEqual(
      each.map((input) => [input, String(fileBytes), ''])
    )
  }
  await run('one')
  // Its keepers are all three.
  await until(() => counts(nodes, 'data-bytes-in').every((bytes) => bytes >= fileBytes))
  await run('two')
  expect(counts(nodes, 'data-bytes-in')).toEqual([fileBytes, fileBytes, fileBytes])
})

test('a slow reader holds its sender, and not its memory: a few chunks are ahead of it, and no more', async () => {
  const [node] = (await open(1, { slots: 0 })) as [Node]
  const aheadMax = 4
  const bytes = randomBytes(64 * chunkBytes)
  const other = await client.put(bytes.subarray(0, 8 * chunkBytes))
  const ref = await client.put(bytes)
  const sent = (): number => (node.counters['data-bytes-out'] ?? 0) / chunkBytes
  const reader = client.stream(ref)[Symbol.asyncIterator]()
  let taken = 0
  const take = async (): Promise<void> => {
    const { value } = await reader.next()
    expect(Buffer.compare(value, bytes.subarray(taken * chunkBytes, (taken + 1) * chunkBytes))).toBe(0)
    taken++
  }
  await take()
  await until(() => sent() >= aheadMax)
  // Whatever else the node would send to this reader, it would send while it serves another one.
  for (let others = 1; others <= 3; others++) {
    expect((await client.get(other)).length).toBe(8 * chunkBytes)
    expect(sent() - 8 * others).toBe(aheadMax)
  }
  const elsewhere = 3 * 8
  while (taken < 64) {
    await take()
    expect(sent() - elsewhere - taken).toBeLessThan(aheadMax + 1)
  }
  expect(await reader.next()).toMatchObject({ done: true })
  expect(sent() - elsewhere).toBe(64)
})
