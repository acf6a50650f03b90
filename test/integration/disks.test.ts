/**
 * Disks that go bad under real nodes: full, read-only, damaged. The node says what happened, stops voting, and nothing is lost.
 *
 * Not here: which damage is found (test/node/damage.test.ts). Filling a disk and forbidding writes to root need Linux and root;
 * elsewhere those tests are left out, and say so.
 */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { DataId } from '../../src/ids.ts'
import { type Client, connect, createNode, type NodeStatus } from '../../src/index.ts'
import { chunkBytes, chunksOfBytes } from '../../src/node/chunks.ts'
import { DataFiles } from '../../src/node/datafiles.ts'
import { Lab, type NodeProcess, untilMeshed, untilStatus } from './processes.ts'

let lab: Lab

beforeEach(async () => {
  lab = await Lab.open()
})

afterEach(() => lab.close())

/** Why this machine does not let us do it, if it does not. */
function refusal(...attempts: readonly (readonly string[])[]): string | undefined {
  try {
    for (const [command = '', ...args] of attempts) execFileSync(command, args, { stdio: 'pipe' })
    return undefined
  } catch (error) {
    // What the command said comes after the line that names it.
    const [failure, said] = String(error).trim().split('\n')
    return said ?? failure
  }
}

/** Says which test is left out here, and why: of skipped tests a reporter tells the number only. */
function testUnless(refused: string | undefined, name: string, body: () => Promise<void>): void {
  if (refused !== undefined) console.warn(`left out here: ${name} (${refused})`)
  test.skipIf(refused !== undefined)(name, body)
}

const probe = join(tmpdir(), `shoal-probe-${process.pid}`)
const noTmpfs = refusal(
  ['mkdir', '-p', probe],
  ['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', probe],
  ['umount', probe]
)
const noImmutable = refusal(['mkdir', '-p', probe], ['chattr', '+i', probe], ['chattr', '-i', probe])
const noBind = refusal(['mount', '--bind', probe, probe], ['umount', probe])
refusal(['rmdir', probe])

/** Takes all that is left of the file system. */
const fillUp = async (path: string): Promise<void> => {
  const file = await open(path, 'w')
  try {
    for (;;) await file.write(Buffer.alloc(4_096))
  } catch {
    await file.close()
  }
}

const isBad = ({ disk }: NodeStatus): boolean => disk !== 'sound'
const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i)
const long = async (x: number): Promise<string> => {
  await new Promise((resolve) => setTimeout(resolve, 5))
  return `${x}`.repeat(30_000)
}
const square = async (x: number): Promise<number> => {
  await new Promise((resolve) => setTimeout(resolve, 5))
  return x * x
}

/** What must hold of a mesh of three, one of which keeps nothing more: it works, and all is read without that node. */
async function goesOn(
  mesh: Client,
  sick: NodeProcess,
  wasThere: { id: string; results: unknown }
): Promise<void> {
  const after = mesh.map(square, count(50))
  expect(await after).toEqual(count(50).map((x) => x * x))
  await sick.kill()
  expect(await mesh.job(wasThere.id)).toEqual(wasThere.results)
  expect(await mesh.job(after.id)).toEqual(count(50).map((x) => x * x))
}

testUnless(
  noTmpfs,
  'a disk that fills up: the node says so, keeps no more, and still runs tasks',
  async () => {
    const data = join(lab.folder, 'small')
    await mkdir(data)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', data])
    lab.undo(() => execFileSync('umount', [data]))
    const a = await lab.start('a')
    const [b, c] = [await lab.start('b', [a]), await lab.start('c', [a], { data })]
    const mesh = await lab.attach(a, b)
    await untilMeshed(mesh, 3)
    const job = mesh.map(long, count(100))
    const expected = count(100).map((x) => `${x}`.repeat(30_000))
    expect(await job).toEqual(expected)
    expect(await c.noted('stops keeping shards')).toContain('No space left')
    const nodes = await untilStatus(mesh, (all) => all.some(isBad))
    expect(nodes.filter(isBad)).toMatchObject([
      { id: c.id, isKeeper: false, disk: expect.stringContaining('No space left') }
    ])
    // The code of this function has no room on that disk; the node runs it all the same, and takes submissions.
    const alone = await lab.attach(c)
    expect(await alone.map((x: number) => x + 1, count(30))).toEqual(count(30).map((x) => x + 1))
    await goesOn(mesh, c, { id: job.id, results: expected })
  }
)

testUnless(
  noTmpfs,
  'a disk without room for what tasks need or make: no task fails of it, and others run them',
  async () => {
    const data = join(lab.folder, 'small')
    await mkdir(data)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', data])
    lab.undo(() => execFileSync('umount', [data]))
    const a = await lab.start('a')
    const [b, c] = [await lab.start('b', [a]), await lab.start('c', [a], { data })]
    const mesh = await lab.attach(a, b)
    await untilMeshed(mesh, 3)
    await mesh.map(square, count(30))
    await fillUp(join(data, 'others'))
    const makes = async (x: number): Promise<Uint8Array> => {
      await new Promise((resolve) => setTimeout(resolve, 30))
      return new Uint8Array(300_000).fill(x)
    }
    const reads = async (bytes: Uint8Array): Promise<number> => {
      await new Promise((resolve) => setTimeout(resolve, 30))
      return bytes.length
    }
    const made = mesh.map(makes, count(30))
    expect((await made).map((bytes) => bytes[0])).toEqual(count(30))
    const large = await mesh.put(randomBytes(400_000))
    const read = mesh.map(
      reads,
      count(30).map(() => large)
    )
    expect(await read).toEqual(count(30).map(() => 400_000))
    const engines = [...count(30).map((i) => made.metadata(i)), ...count(30).map((i) => read.metadata(i))]
    expect(engines.filter((one) => one?.engine.startsWith(c.id))).toEqual([])
    // It goes on as an engine of what needs no room.
    const all = mesh.map(square, count(30), { targets: [c.id] })
    expect(await all).toEqual(count(30).map((x) => x * x))
    // What may run nowhere else fails, and says why.
    const bound = mesh.map(makes, [1], { targets: [c.id] })
    await expect(bound).rejects.toMatchObject({
      code: 'SHOAL_DISK',
      message: expect.stringContaining('ENOSPC')
    })
  }
)

testUnless(
  noTmpfs,
  'data that a disk has no room for is refused as SHOAL_DISK, whoever puts it',
  async () => {
    const data = join(lab.folder, 'small')
    await mkdir(data)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', data])
    lab.undo(() => execFileSync('umount', [data]))
    const node = await createNode({ key: lab.key, data, listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false })
    const guest = await connect({ key: lab.key, peers: node.addresses })
    try {
      const refused = { code: 'SHOAL_DISK', message: expect.stringContaining('ENOSPC') }
      for (const client of [node.client, guest, node.client])
        await expect(client.put(randomBytes(20_000_000))).rejects.toMatchObject(refused)
      const small = randomBytes(100_000)
      expect(Buffer.compare(await guest.get(await guest.put(small)), small)).toBe(0)
    } finally {
      await guest.close()
      await node.stop()
    }
  }
)

testUnless(noTmpfs, 'files that wait for other data make room when a disk is full', async () => {
  const folder = join(lab.folder, 'small')
  await mkdir(folder)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=5m', 'tmpfs', folder])
  lab.undo(() => execFileSync('umount', [folder]))
  const files = await DataFiles.open(folder)
  const come = async (size: number): Promise<DataId> => {
    const { id, list, read } = chunksOfBytes(randomBytes(size))
    const part = await files.begin(id, list)
    for (const index of part.missing()) await files.write(part, index, await read(index))
    await files.finish(part)
    return id
  }
  for (const put of [come, (size: number) => files.add([randomBytes(size)])]) {
    const many = [await put(chunkBytes), await put(chunkBytes), await put(chunkBytes)]
    for (const id of many) await files.drop(id)
    expect((await readdir(files.folder)).length).toBe(3)
    const large = await put(4 * chunkBytes)
    expect(await files.checkAgain(large)).toBe(true)
    await files.drop(large)
  }
  await files.close()
})

testUnless(noTmpfs, 'they make room for many at once, and for files that are too many', async () => {
  const folder = join(lab.folder, 'small')
  await mkdir(folder)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=5m,nr_inodes=22', 'tmpfs', folder])
  lab.undo(() => execFileSync('umount', [folder]))
  const files = await DataFiles.open(folder)
  const put = (count: number, size: number): Promise<DataId[]> =>
    Promise.all(Array.from({ length: count }, () => files.add([randomBytes(size)])))
  for (let round = 0; round < 5; round++) {
    for (const id of await put(3, chunkBytes)) await files.drop(id)
    const many = await put(16, 250_000)
    for (const id of many) expect(await files.checkAgain(id)).toBe(true)
    for (const id of many) await files.drop(id)
    for (const id of await put(4, chunkBytes)) await files.drop(id)
    const small = await put(18, 10)
    for (const id of small) expect(await files.checkAgain(id)).toBe(true)
    for (const id of small) await files.drop(id)
  }
  await files.close()
})

testUnless(noImmutable, 'a data folder made read-only: the node says so and keeps no more', async () => {
  const [a, b, c, d] = (await lab.mesh(4)) as [NodeProcess, NodeProcess, NodeProcess, NodeProcess]
  const mesh = await lab.attach(a, b)
  await untilMeshed(mesh, 4)
  const job = mesh.map(square, count(200))
  await job.accepted
  const data = join(lab.folder, 'n3')
  lab.undo(() => execFileSync('chattr', ['-R', '-i', data]))
  execFileSync('chattr', ['-R', '+i', data])
  expect(await job).toEqual(count(200).map((x) => x * x))
  const later = count(10).map(() => mesh.map(square, count(10)))
  for (const one of later) expect(await one).toEqual(count(10).map((x) => x * x))
  expect(await c.noted('stops keeping shards')).toMatch(/not permitted|Read-only/)
  const nodes = await untilStatus(mesh, (all) => all.some(isBad))
  expect(nodes.filter(isBad)).toMatchObject([{ id: c.id, isKeeper: false }])
  // Its place is taken at once: what it kept is kept three times by the others.
  await untilStatus(mesh, (all) => all.every(({ id, keeps }) => id === c.id || keeps === 1 + later.length))
  expect([a, b, d].map(({ notes }) => notes.filter((note) => note.includes('is down')))).toEqual([[], [], []])
  await goesOn(mesh, c, { id: job.id, results: count(200).map((x) => x * x) })
})

testUnless(noBind, 'a node does not start on a folder that it cannot write, and says why', async () => {
  const data = join(lab.folder, 'fixed')
  const first = await lab.start('fixed')
  await first.kill()
  execFileSync('mount', ['--bind', data, data])
  lab.undo(() => execFileSync('umount', [data]))
  execFileSync('mount', ['-o', 'remount,bind,ro', data])
  await expect(lab.start('fixed')).rejects.toThrow(/SHOAL_DISK.*Read-only file system/s)
})

async function flipIn(folder: string, pattern: RegExp): Promise<void> {
  for (const name of (await readdir(folder)).filter((one) => pattern.test(one))) {
    const bytes = await readFile(join(folder, name))
    const at = bytes.length >> 1
    bytes[at] = (bytes[at] ?? 0) ^ 0x01
    await writeFile(join(folder, name), bytes)
  }
}

test('a store with a flipped byte is not used: the node is another one, keeps nothing, says why, and works', async () => {
  const [a, b, c] = (await lab.mesh(3)) as [NodeProcess, NodeProcess, NodeProcess]
  const mesh = await lab.attach(a, b)
  await untilMeshed(mesh, 3)
  const job = mesh.map(square, count(200))
  expect(await job).toEqual(count(200).map((x) => x * x))
  await c.kill()
  await flipIn(join(lab.folder, 'n3', 'store'), /\.log$/)
  const sick = await lab.start('n3', [a, b])
  expect(sick.id).not.toBe(c.id)
  const note = await sick.noted('keeps nothing')
  expect(note).toContain('is damaged')
  expect(note).toContain(`move ${join(lab.folder, 'n3', 'store')} away`)
  const nodes = await untilStatus(mesh, (all) => all.some(isBad) && all.every(({ peers }) => peers === 2))
  expect(nodes.filter(isBad)).toMatchObject([{ id: sick.id, isKeeper: false, keeps: 0 }])
  await goesOn(mesh, sick, { id: job.id, results: count(200).map((x) => x * x) })
  // The damage is still there to be looked at, and still not used.
  const again = await lab.start('n3', [a, b])
  await again.noted('keeps nothing')
})

test('damaged code is fetched again from others, and what it computes is right', async () => {
  const [a, b, c] = (await lab.mesh(3)) as [NodeProcess, NodeProcess, NodeProcess]
  const mesh = await lab.attach(a, b)
  await untilMeshed(mesh, 3)
  await mesh.map(square, count(100))
  await c.kill()
  await flipIn(join(lab.folder, 'n3', 'blobs'), /\.mjs$/)
  const sick = await lab.start('n3', [a, b])
  expect(sick.id).toBe(c.id)
  await sick.noted('is damaged on this disk')
  await untilMeshed(mesh, 3)
  expect(await mesh.map(square, count(300))).toEqual(count(300).map((x) => x * x))
})
