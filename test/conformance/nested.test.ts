/**
 * Tasks that submit tasks: they wait without a slot, whatever engines are, and take nothing with them when they end.
 *
 * Not here: nodes that are killed meanwhile (test/integration/nested.test.ts), and the order of things (test/tasks).
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Client, moduleFunction } from '../../src/index.ts'
import { Mesh, until } from './mesh.ts'

const work = new URL('./nested.ts', import.meta.url)

describe.each(['thread', 'process'] as const)('engines are %ss', (isolation) => {
  let mesh: Mesh
  let client: Client
  beforeAll(async () => {
    mesh = await Mesh.open(1, { slots: 1, isolation, allowRun: true })
    client = mesh.client
  })
  afterAll(() => mesh.close())

  test('maps five deep end on one slot', async () => {
    const total = await client.submit<number>(moduleFunction(work, 'tree'), [4, 2])
    expect(total).toBe(2 ** 5)
  })

  test('a plain function calls itself through the mesh', async () => {
    // Written out, as the test runner rewrites `import()`.
    const fib = new Function(`return async function fib (n) {
      const { task } = await import('shoal/task')
      if (n < 2) return n
      const [a, b] = await task.client.map(fib, [n - 1, n - 2])
      return a + b
    }`)() as (n: number) => Promise<number>
    expect(await client.submit(fib, [5])).toBe(5)
  })

  test('results come one by one while another job runs', async () => {
    expect(await client.submit(moduleFunction(work, 'both'))).toEqual([2, 3, 4, 100])
  })

  test('what is large comes and goes as data', async () => {
    expect(await client.submit(moduleFunction(work, 'large'), [3_000_000])).toEqual([3_000_000, 3_000_000])
  })

  test('a program takes the slot of the task that waits for it', async () => {
    expect(await client.submit(moduleFunction(work, 'program'))).toEqual(['a', 'b'])
  })

  test.each(['cancelled', 'late'] as const)('a task that is %s takes its jobs with it', async (how) => {
    const file = join(mesh.folder, how)
    const outer = client.submit(moduleFunction(work, 'waits'), [file], how === 'late' ? { timeout: 700 } : {})
    if (how === 'cancelled') {
      await until(() => existsSync(file))
      await outer.cancel()
    }
    const error: unknown = await outer.catch((error: unknown) => error)
    expect(error).toMatchObject({ code: how === 'late' ? 'TASK_TIMEOUT' : 'SHOAL_CANCELLED' })
    await untilIdle()
  })

  test('a task that ends leaves nothing running', async () => {
    const id = await client.submit<string>(moduleFunction(work, 'leaves'), [join(mesh.folder, 'left')])
    await expect(client.job(id)).rejects.toMatchObject({ code: 'SHOAL_CANCELLED' })
    await untilIdle()
  })

  test('what the first attempt left running does not outlive its engine', async () => {
    const file = join(mesh.folder, 'dies')
    const outer = client.submit(moduleFunction(work, 'dies'), [file])
    expect(await outer).toBe('second attempt')
    expect(outer.metadata?.attempt).toBe(2)
    await untilIdle()
  })

  test('whoever calls an engine that waits for it hears so at once', async () => {
    const heard = await client.submit(moduleFunction(work, 'callsItself'))
    expect(heard).toEqual(new Array(4).fill('SHOAL_OWN_ENGINE'))
  })

  test('what follows a task that ran in place of this one runs all the same', async () => {
    expect(await client.submit(moduleFunction(work, 'followed'))).toBe(2)
  })

  async function untilIdle(): Promise<void> {
    await until(async () => (await mesh.status()).every(({ running, queued }) => running + queued === 0))
  }
})

describe('tasks that call engines of each other', () => {
  let mesh: Mesh
  let engines: string[]
  beforeAll(async () => {
    mesh = await Mesh.open(2, { slots: 2 })
    engines = (await mesh.client.engines()).map(({ id }) => id)
  })
  afterAll(() => mesh.close())

  test.each([
    ['view', 2],
    ['target', 2],
    ['view', 3]
  ] as const)(
    'one call in a circle is refused, and the others come through (by %s, %i engines)',
    async (how, count) => {
      const circle = engines.slice(4 - count)
      const files = circle.map((_, at) => join(mesh.folder, `${how}${count}-${at}`))
      const heard = await Promise.all(
        circle.map((engine, at) => {
          const next = circle[(at + 1) % count] as string
          const order = [...files.slice(at), ...files.slice(0, at)]
          const args = [next, how, order]
          return mesh.client.submit<string>(moduleFunction(work, 'callsAcross'), args, { targets: [engine] })
        })
      )
      const refused = heard.indexOf('SHOAL_OWN_ENGINE')
      const expected = circle.map((engine) => `called from ${engine}`)
      expect(heard).toEqual(expected.with(refused, 'SHOAL_OWN_ENGINE'))
    }
  )

  test('a call waits for an engine whose task waits for something else', async () => {
    const [one, other] = engines as [string, string]
    const files = [join(mesh.folder, 'caller'), join(mesh.folder, 'busy')]
    const busy = mesh.client.submit(moduleFunction(work, 'waitsForOthers'), [2_500, files[1]], {
      targets: [other]
    })
    const call = mesh.client.submit(moduleFunction(work, 'callsAcross'), [other, 'view', files], {
      targets: [one]
    })
    expect(await Promise.all([busy, call])).toEqual(['done', `called from ${one}`])
  })
})
