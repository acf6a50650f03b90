/**
 * What people hand over as a function, and what comes of it: conformance items about values, and kinds of functions.
 *
 * Not here: packing (test/client), the format of values (test/tasks/executor/codec.test.ts).
 * Nodes of this very process; every expectation is what a user sees.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  CompositeError,
  moduleFunction,
  type Node,
  type RunMetadata,
  type TaskError
} from '../../src/index.ts'
import { Mesh, upTo } from './mesh.ts'

let mesh: Mesh
beforeAll(async () => {
  mesh = await Mesh.open(2)
})
afterAll(() => mesh.close())

test('CONFORMANCE 44: a result that cannot be serialised or read back fails its task, and nothing else', async () => {
  const { client } = mesh
  const before = await mesh.status()
  const failed = await client
    .map((x: number) => (x % 10 === 3 ? { rows: [x, () => x] } : x), upTo(40))
    .catch((error: unknown) => error)
  expect(failed).toBeInstanceOf(CompositeError)
  const { errors } = failed as CompositeError
  expect(errors).toHaveLength(4)
  for (const error of errors) {
    expect(error).toMatchObject({ code: 'SHOAL_BAD_VALUE' })
    expect(error.message).toContain('result.rows[1] is a function and cannot travel')
  }
  // V8 writes a compiled module, and reads none.
  const unreadable = client.submit(() => {
    type Modules = { WebAssembly: { Module: new (bytes: Uint8Array) => object } }
    const { Module } = (globalThis as unknown as Modules).WebAssembly
    return new Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0))
  })
  await expect(unreadable).rejects.toMatchObject({ code: 'SHOAL_BAD_VALUE' })
  // Larger than a value may be.
  const large = await client
    .submit(() => new Uint8Array(65 << 20))
    .then(
      () => 'arrived',
      (error: unknown) => error
    )
  expect(large).toMatchObject({ code: 'SHOAL_BAD_VALUE' })
  expect(await client.map((x: number) => x + 1, upTo(40))).toEqual(upTo(40).map((x) => x + 1))
  const after = await mesh.status()
  expect(after.map(({ id, lostRuns }) => [id, lostRuns])).toEqual(
    before.map(({ id, lostRuns }) => [id, lostRuns])
  )
})

test('async functions, generators of both kinds and their results arrive', async () => {
  const { client } = mesh
  expect(await client.submit(async (x: number) => x + 1, [1])).toBe(2)
  const range = client.map(function* (n: number) {
    for (let i = 0; i < n; i++) yield i
    return 'not this'
  }, upTo(4))
  expect(await range).toEqual([[], [0], [0, 1], [0, 1, 2]])
  const later = client.submit(
    async function* (words: string[]) {
      for (const word of words) yield Promise.resolve(word.length)
    },
    [['one', 'three']]
  )
  expect(await later).toEqual([3, 5])
  const stopped = client.submit(function* () {
    yield 1
    throw new Error('half way', { cause: new RangeError('too far') })
  })
  await expect(stopped).rejects.toMatchObject({ message: 'half way', cause: { name: 'RangeError' } })
})

test('of generators a map over the engines of a view gives all that they yield, too, one as of several sources', async () => {
  const all = mesh.client.view('all')
  const twice = all.map(
    function* (n: number) {
      yield n
      yield -n
    },
    [1, 2, 3]
  )
  expect(await twice).toEqual([
    [1, -1],
    [2, -2],
    [3, -3]
  ])
  const later = all.map(
    async function* (word: string, n: number) {
      yield* Array<string>(n).fill(word)
    },
    [
      ['a', 'b'],
      [1, 2]
    ],
    { zip: true }
  )
  expect(await later).toEqual([['a'], ['b', 'b']])
  // As with any function that gives a list.
  expect(await all.map((n: number) => [n], [1, 2])).toEqual([[1], [2]])
  const odd = { zip: true, returnErrors: true } as const
  expect(() => all.map((n: number) => n, [[1]], odd)).toThrow(
    'there is no option `returnErrors`; there are zip'
  )
})

test('functions of modules go through the inputs of a view as plain ones do', async () => {
  const all = mesh.client.view('all')
  const exported = (name: string) => moduleFunction(new URL('./fixtures/calls.ts', import.meta.url), name)
  expect(await all.map(exported('double'), [1, 2, 3])).toEqual([2, 4, 6])
  const rows = [
    [1, 2, 3],
    [4, 5, 6]
  ]
  expect(await all.map(exported('join'), rows, { zip: true })).toEqual(['1 and 4', '2 and 5', '3 and 6'])
  expect(await all.map(exported('twice'), [1, 2])).toEqual([
    [1, 1],
    [2, 2]
  ])
  const balanced = mesh.client.balanced()
  expect(await balanced.map(exported('join'), rows, { zip: true })).toEqual(['1 and 4', '2 and 5', '3 and 6'])
  expect(await Array.fromAsync(balanced.imap(exported('join'), rows, { zip: true }))).toHaveLength(3)
})

test('the stack of a failed task names the line that the user wrote', async () => {
  const file = join(mesh.folder, 'check.ts')
  await writeFile(
    file,
    `interface Thing { readonly size: number }

export function check({ size }: Thing): number {
  if (size > 1)
    throw new RangeError('too large')
  return size
}`
  )
  const task = mesh.client.submit(moduleFunction(file, 'check'), [{ size: 2 }])
  const error = (await task.then(undefined, (thrown: unknown) => thrown)) as TaskError
  expect(error).toMatchObject({ name: 'RangeError', message: 'too large' })
  expect(error.stack).toContain(`at check (${file}:5:11)`)
})

test('a large typed array arrives as it was, and owns its memory', async () => {
  const numbers = new Float64Array(500_000).map((_, i) => i / 3)
  const back = await mesh.client.submit(
    (some: Float64Array) => (some.buffer.byteLength === some.byteLength ? some.map((x) => 2 * x) : 'shared'),
    [numbers]
  )
  expect(back).toBeInstanceOf(Float64Array)
  expect(
    Buffer.from((back as Float64Array).buffer).equals(Buffer.from(numbers.map((x) => 2 * x).buffer))
  ).toBe(true)
})

const chatter = `
import { appendFileSync, existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { task } from 'shoal/task'
export async function prints(x) {
  console.log('to stdout', task.id, task.engine)
  await sleep(1)
  console.error('to stderr', x)
  return x
}
export async function works(go) {
  task.progress(0.25, 'a quarter')
  console.log('begins')
  while (!existsSync(go)) await sleep(10)
  console.log('ends')
}`

test('CONFORMANCE 22: what a task prints appears once, with the right task and engine, and for everybody', async () => {
  const file = join(mesh.folder, 'prints.mjs')
  await writeFile(file, chatter)
  const job = mesh.client.map(moduleFunction(file, 'prints'), upTo(40))
  const heard = new Map<number, { stdout: string; stderr: string }>()
  job.onOutput(({ index, stdout, stderr }) => {
    const before = heard.get(index) ?? { stdout: '', stderr: '' }
    heard.set(index, { stdout: before.stdout + stdout, stderr: before.stderr + stderr })
  })
  await job
  // Another client, of another node, which was told nothing while they ran.
  const again = (mesh.nodes[1] as Node).client.job(job.id)
  await again
  for (const index of upTo(40)) {
    const run = job.metadata(index) as RunMetadata
    const stdout = `to stdout ${job.id}:${index} ${run.engine}\n`
    const stderr = `to stderr ${index}\n`
    expect(run).toMatchObject({ stdout, stderr })
    expect(again.metadata(index)).toMatchObject({ stdout, stderr })
    expect(heard.get(index)).toEqual({ stdout, stderr })
    expect([again.stdout[index], again.stderr[index]]).toEqual([stdout, stderr])
  }
})

test('a large result and what its task printed both arrive, whichever of the two is large', async () => {
  const prints = mesh.client.submit(
    (size: number) => {
      console.log('x'.repeat(size))
      return 'short'
    },
    [100_000]
  )
  expect((await prints).slice(0, 20)).toBe('short')
  expect(prints.stdout.startsWith('x'.repeat(60_000))).toBe(true)
  const large = mesh.client.submit(
    (size: number) => {
      console.log('before')
      console.error('beside')
      return new Uint8Array(size)
    },
    [100_000]
  )
  expect((await large).byteLength).toBe(100_000)
  expect([large.stdout, large.stderr]).toEqual(['before\n', 'beside\n'])
  expect(await mesh.client.submit((value: Uint8Array) => value.byteLength, [large])).toBe(100_000)
})

test('who watches hears a running task: how far it is, and what it prints', async () => {
  const file = join(mesh.folder, 'works.mjs')
  await writeFile(file, chatter)
  const go = join(mesh.folder, 'go')
  // Submitted here, and watched from another node.
  const task = mesh.client.submit(moduleFunction(file, 'works'), [go])
  const ahead = new Promise((resolve) => task.onProgress(resolve))
  await task.accepted
  const watching = (mesh.nodes[1] as Node).client.job(task.id)
  const begun = new Promise((resolve) => watching.onOutput(({ stdout }) => stdout && resolve(stdout)))
  expect(await ahead).toEqual({ index: 0, fraction: 0.25, text: 'a quarter' })
  // Whoever came too late for the first words hears all in the end.
  await writeFile(go, '')
  expect(['begins\n', 'begins\nends\n']).toContain(await begun)
  await task
  expect(task.stdout).toBe('begins\nends\n')
})
