/**
 * Data by reference, on real nodes, sockets and files.
 *
 * Not here: what the mesh decides about it (test/data, and the simulator), and files as such (test/node/datafiles.test.ts).
 */
import { randomBytes } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Ref } from '../../src/index.ts'
import { until } from '../conformance/mesh.ts'
import { flip } from '../node/flip.ts'
import { Lab, type NodeProcess, untilMeshed, untilStatus } from './processes.ts'

let lab: Lab
/** All three see each other; they are there for every test that takes none of them away. */
let nodes: NodeProcess[]
beforeAll(async () => {
  lab = await Lab.open()
  nodes = await lab.mesh(3)
  await untilMeshed(await lab.attach(nodes[0] as NodeProcess), 3)
})
afterAll(() => lab.close())

/** What one test has for itself: a lab, or one more node. */
let own: Lab | undefined
let guest: NodeProcess | undefined
afterEach(async () => {
  await Promise.all([own?.close(), guest?.kill()])
  own = undefined
  guest = undefined
})

const dataOf = (node: NodeProcess, within = lab): string => join(within.folder, node.name, 'data')
const nameOf = ({ hash, size }: Ref): string => `${hash}.${size}`

test('bytes, files and streams come back as they were put, by any node', async () => {
  const [one, other] = [await lab.attach(nodes[0] as NodeProcess), await lab.attach(nodes[2] as NodeProcess)]
  await untilMeshed(one, 3)
  const bytes = randomBytes(3_500_000)
  const file = join(lab.folder, 'input.bin')
  await writeFile(file, bytes)
  // As one who reads into the same buffer again and again.
  const pieces = async function* () {
    const piece = new Uint8Array(70_001)
    for (let at = 0; at < bytes.length; at += piece.length)
      yield piece.subarray(0, bytes.copy(piece, 0, at, at + piece.length))
  }
  const refs = [
    await one.put(bytes),
    await one.put({ file }),
    await one.put(pieces(), { type: 'image/tiff' })
  ]
  expect(new Set(refs.map(nameOf)).size).toBe(1)
  expect(refs.map(({ size, type }) => [size, type])[2]).toEqual([3_500_000, 'image/tiff'])
  const ref = refs[0] as Ref
  expect(Buffer.compare(await other.get(ref), bytes)).toBe(0)
  const output = join(lab.folder, 'out', 'copy.bin')
  await other.save(ref, output)
  expect((await readFile(output)).equals(bytes)).toBe(true)
  expect(Buffer.concat(await Array.fromAsync(other.stream(ref))).equals(bytes)).toBe(true)
  const nothing = await one.put(new Uint8Array(0))
  expect(await other.get(nothing)).toEqual(new Uint8Array(0))
})

test('a ref arrives in the task as its bytes, wherever it stands in the arguments', async () => {
  const client = await lab.attach(nodes[0] as NodeProcess)
  await untilMeshed(client, 3)
  const [a, b] = [await client.put(randomBytes(2_000_000)), await client.put([Buffer.from('abc')])]
  const sizes = await client.map(
    ({ part, list, map }: { part: Uint8Array; list: Uint8Array[]; map: Map<string, Uint8Array> }) => [
      part.length,
      list.map((one) => String.fromCharCode(...one)).join(),
      map.get('x')?.constructor.name
    ],
    Array.from({ length: 6 }, () => ({ part: a, list: [b, b], map: new Map([['x', b]]) }) as never)
  )
  expect(sizes).toEqual(Array.from({ length: 6 }, () => [2_000_000, 'abc,abc', 'Uint8Array']))
  expect(await client.submit((bytes: Uint8Array) => bytes.length, [a as never])).toBe(2_000_000)
})

/** The nodes that have it on disk, once there are so many. */
async function holdersOf(
  ref: Ref,
  among: readonly NodeProcess[],
  count: number,
  within = lab
): Promise<NodeProcess[]> {
  const holders: NodeProcess[] = []
  await until(async () => {
    holders.length = 0
    for (const node of among)
      if ((await readdir(dataOf(node, within))).includes(nameOf(ref))) holders.push(node)
    return holders.length >= count
  })
  return holders
}

test('CONFORMANCE 33: data with three holders outlives two of them, also for who is just reading it', async () => {
  own = await Lab.open()
  const mine = await own.mesh(3)
  const client = await own.attach(mine[0] as NodeProcess)
  await untilMeshed(client, 3)
  const bytes = randomBytes(12_000_000)
  const ref = await client.put(bytes)
  await holdersOf(ref, mine, 3, own)
  const fresh = await own.start('fresh', [mine[0] as NodeProcess], { more: { roles: ['engine'] } })
  const reader = await own.attach(fresh)
  await untilMeshed(reader, 4)
  const pieces: Uint8Array[] = []
  for await (const piece of reader.stream(ref)) {
    if (pieces.push(piece) === 1) await Promise.all(mine.slice(0, 2).map((node) => node.kill()))
  }
  expect(Buffer.compare(Buffer.concat(pieces), bytes)).toBe(0)
})

test('a flipped byte at one holder is found, reported and fetched elsewhere', async () => {
  const client = await lab.attach(nodes[0] as NodeProcess)
  await untilMeshed(client, 3)
  const bytes = randomBytes(2_500_000)
  const ref = await client.put(bytes)
  const holders = await holdersOf(ref, nodes, 3)
  const fresh = await lab.start('fresh', [nodes[0] as NodeProcess], { slots: 0, more: { roles: ['engine'] } })
  guest = fresh
  const reader = await lab.attach(fresh)
  await untilMeshed(reader, 4)
  for (const node of holders.slice(0, 2)) await flip(join(dataOf(node), nameOf(ref)), 1_200_000)
  expect(Buffer.compare(await reader.get(ref), bytes)).toBe(0)
  // Who is asked first depends on the bytes: hardly ever is it the one good holder of all of these.
  const flipped: string[] = []
  for (let at = 0; at < 12; at++) {
    const small = randomBytes(70_000)
    const one = await client.put(small)
    await holdersOf(one, nodes, 3)
    for (const node of nodes.filter((_, i) => i !== at % 3)) {
      await flip(join(dataOf(node), nameOf(one)), 60_000)
      flipped.push(`${node.id} sent damaged data ${nameOf(one)}`)
    }
    expect(Buffer.compare(await reader.get(one), small)).toBe(0)
  }
  flipped.push(...holders.slice(0, 2).map(({ id }) => `${id} sent damaged data ${nameOf(ref)}`))
  await fresh.noted('sent damaged data')
  for (const note of fresh.notes.filter((text) => text.includes('sent damaged data')))
    expect(flipped.some((it) => note.includes(it) && note.includes('fetched elsewhere'))).toBe(true)
  // Every damaged copy is found by whoever uses it there, and replaced by a good one.
  const found = await client.map(
    (input: Uint8Array) => input.length,
    Array.from({ length: 12 }, () => ref as never)
  )
  expect(found).toEqual(Array.from({ length: 12 }, () => bytes.length))
  await Promise.all(holders.slice(0, 2).map((node) => node.noted('was damaged on this disk')))
})

test('tasks go where their data is: hardly any of it moves, though each piece lies on one node only', async () => {
  const client = await lab.attach(nodes[0] as NodeProcess)
  await untilMeshed(client, 3)
  const once = { keepers: 1 }
  const inputs = await Promise.all(
    Array.from({ length: 6 }, async (_, at) => await client.put(Buffer.alloc(20_000_000, at), once))
  )
  const copies = async (): Promise<number> => {
    const all = await Promise.all(nodes.map((node) => readdir(dataOf(node))))
    return all.flat().filter((name) => inputs.some((ref) => name === nameOf(ref))).length
  }
  const before = await copies()
  const job = client.map(
    async (bytes: Uint8Array) => {
      // All of them together take less than the 200 ms for which each waits, also if one node happens to have every piece.
      await new Promise((resolve) => setTimeout(resolve, 4))
      return bytes[7]
    },
    Array.from({ length: 30 }, (_, at) => inputs[at % 6] as never),
    once
  )
  expect(await job).toEqual(Array.from({ length: 30 }, (_, at) => at % 6))
  const moved = (await copies()) - before
  expect(moved).toBeLessThan(inputs.length)
})

test('data stays for whoever needs it and goes with the last of them; an engine keeps what it used last', async () => {
  const within = await Lab.open()
  own = within
  const mine = await within.mesh(3, 0)
  const client = await within.attach(mine[0] as NodeProcess)
  const more = { roles: ['engine' as const], quota: { data: 5_000_000 } }
  const engine = await within.start('engine', mine, { more })
  await untilMeshed(client, 4)
  const size = (bytes: Uint8Array): number => bytes.length
  const pieces = Array.from({ length: 4 }, (_, at) => Buffer.alloc(2_000_000, at))
  const refs = await Promise.all(pieces.map((piece) => client.put(piece)))
  for (const ref of refs) await client.submit(size, [ref as never])
  await until(async () => (await having(engine, refs, within)) === 'cd')
  await client.free(...refs)
  for (const node of mine) await until(async () => (await having(node, refs, within)) === '')
  const message = /^no node that is up has the data \S+; it was freed, or its nodes are down$/
  await expect(client.get(refs[0] as Ref)).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND', message })

  const retention = 2_000
  const ref = await client.put(randomBytes(2_000_000), { retention })
  const putAt = performance.now()
  const open = join(within.folder, 'open')
  const waits = async (bytes: Uint8Array, file: string): Promise<number> => {
    const { existsSync } = process.getBuiltinModule('node:fs')
    while (!existsSync(file)) await new Promise((resolve) => setTimeout(resolve, 20))
    return bytes.length
  }
  const task = client.submit(waits as never, [ref, open])
  await task.accepted
  await until(async () => performance.now() - putAt > retention + 1_500)
  expect(await Promise.all(mine.map((node) => having(node, [ref], within)))).toEqual(['a', 'a', 'a'])
  await writeFile(open, '')
  expect(await task).toBe(2_000_000)
  for (const node of mine) await until(async () => (await having(node, [ref], within)) === '')
})

test('a node that takes nothing more because it is full says so in its status, until something goes', async () => {
  own = await Lab.open()
  const node = await own.start('n1', [], { slots: 0, more: { quota: { data: 3_000_000 } } })
  const client = await own.attach(node)
  const refs = [await client.put(randomBytes(2_000_000)), await client.put(randomBytes(900_000))]
  await expect(client.put(randomBytes(2_000_000))).rejects.toMatchObject({ code: 'SHOAL_NO_KEEPERS' })
  await untilStatus(client, ([one]) => one?.disk === 'full')
  await client.free(...refs)
  await untilStatus(client, ([one]) => one?.disk === 'sound')
})

test('what is put at once, or is large, takes no more than the quota: the rest is refused, and what to do is said', async () => {
  own = await Lab.open()
  const node = await own.start('n1', [], { slots: 0, more: { quota: { data: 3_000_000 } } })
  const client = await own.attach(node)
  const advice = expect.stringContaining('`quota.data`')
  const refusal = { code: 'SHOAL_NO_KEEPERS', message: advice }
  await expect(client.put(randomBytes(30_000_000))).rejects.toMatchObject(refusal)
  const puts = await Promise.allSettled(Array.from({ length: 20 }, () => client.put(randomBytes(700_000))))
  const taken = puts.flatMap((put) => (put.status === 'fulfilled' ? [put.value] : []))
  expect(taken).toHaveLength(4)
  for (const put of puts) if (put.status === 'rejected') expect(put.reason).toMatchObject(refusal)
  // What is there already weighs nothing.
  expect(await client.put(await client.get(taken[0] as Ref))).toEqual(taken[0])
  for (const ref of taken) await holdersOf(ref, [node], 1, own)
  await client.free(taken[0] as Ref)
  await client.put(randomBytes(700_000))
})

test('of three nodes one that has no room is passed over, and the others keep what is put', async () => {
  own = await Lab.open()
  const small = await own.start('small', [], { slots: 0, more: { quota: { data: 1_000_000 } } })
  const others = [await own.start('n2', [small]), await own.start('n3', [small])]
  const client = await own.attach(small)
  await untilMeshed(client, 3)
  const refs = await Promise.all(Array.from({ length: 6 }, () => client.put(randomBytes(2_000_000))))
  for (const ref of refs) await holdersOf(ref, others, 2, own)
  await until(async () => (await having(small, refs, own as Lab)) === '')
  const sizes = await client.map((bytes: Uint8Array) => bytes.length, refs as never[])
  expect(sizes).toEqual(refs.map(() => 2_000_000))
  expect(await having(small, refs, own)).toBe('')
})

/** Which of these a node has on its disk, as letters. */
async function having(node: NodeProcess, refs: readonly Ref[], within = lab): Promise<string> {
  const names = await readdir(dataOf(node, within))
  return refs.flatMap((ref, at) => (names.includes(nameOf(ref)) ? ['abcdefgh'[at]] : [])).join('')
}
