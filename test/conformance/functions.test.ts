/**
 * What people hand over as a function, and what comes of it: conformance items about values, and kinds of functions.
 *
 * Not here: packing (test/client), the format of values (test/tasks/executor/codec.test.ts).
 * Nodes of this very process; every expectation is what a user sees.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CompositeError, moduleFunction, type TaskError } from '../../src/index.ts'
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
  const large = client.submit(() => new Uint8Array(17 << 20))
  await expect(large).rejects.toMatchObject({ code: 'SHOAL_BAD_VALUE' })
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
