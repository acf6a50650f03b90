/**
 * Whatever a client is given that cannot be used: each call ends at once, with a code, and the client goes on.
 *
 * Not here: options of tasks (test/client/options.test.ts) and of nodes (test/node/options.test.ts).
 * What leaves unchecked is refused by the node, which cannot say what was wrong in the words of the call.
 */
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Client, call, connect, createKey, type Ref, Reference } from '../../src/index.ts'
import { Mesh } from './mesh.ts'

let mesh: Mesh
let client: Client
let data: Ref
beforeAll(async () => {
  mesh = await Mesh.open(1)
  const { nodes } = mesh
  client = await connect({ key: mesh.key, peers: nodes[0]?.addresses ?? [], mdns: false })
  data = await client.put(new Uint8Array(1))
})
afterAll(async () => {
  await client.close()
  await mesh.close()
})

const key = createKey()
const nothing = [undefined, null, 5, '', {}] as never[]
const all = (): ReturnType<Client['view']> => client.view('all')

const refused: Record<string, [string, (given: never) => unknown, readonly unknown[]]> = {
  'job(id)': ['SHOAL_NOT_FOUND', (id) => client.job(id), nothing],
  'task(id)': ['SHOAL_NOT_FOUND', (id) => client.task(id), nothing],
  'explain(task)': ['SHOAL_BAD_OPTION', (task) => client.explain(task), nothing],
  'drain(node)': ['SHOAL_NOT_FOUND', (node) => client.drain(node), nothing],
  'source(name)': ['SHOAL_BAD_OPTION', (name) => client.source(name).next(), [...nothing, 'x'.repeat(129)]],
  'wait(handles)': [
    'SHOAL_BAD_OPTION',
    (handles) => client.wait(handles),
    [null, 5, {}, [5], [Promise.resolve(1)]]
  ],
  'asCompleted(handles)': [
    'SHOAL_BAD_OPTION',
    (handles) => client.asCompleted(handles).next(),
    [null, 5, [5]]
  ],
  'wait options': [
    'SHOAL_BAD_OPTION',
    (options) => client.wait([client.submit(() => 1)], options),
    [null, 5, { timeout: Number.NaN }, { timeout: '5' }, { until: 'none' }, { untl: 'all' }]
  ],
  'asCompleted options': [
    'SHOAL_BAD_OPTION',
    (options) => client.asCompleted([client.submit(() => 1)], options).next(),
    [null, 5, { timeout: -1 }, { timeout: '5' }]
  ],
  'get(timeout)': [
    'SHOAL_BAD_OPTION',
    async (timeout) => {
      const task = client.submit(() => 1)
      await task
      await task.get(timeout)
    },
    [null, -1, Number.NaN, '5']
  ],
  'imap options': [
    'SHOAL_BAD_OPTION',
    (options) => client.balanced().imap((x: number) => x, [1], options),
    [null, 5, { ordered: 'yes' }, { maxOutstanding: 0 }, { max: 1 }]
  ],
  'balanced map options': [
    'SHOAL_BAD_OPTION',
    (options) => client.balanced().map((x: number) => x, [1], options),
    [null, 5, { retrys: 1 }]
  ],
  'submit options': ['SHOAL_BAD_OPTION', (options) => client.submit(() => 1, [], options), [null, 5]],
  'map options': ['SHOAL_BAD_OPTION', (options) => client.map((x: number) => x, [1], options), [null, 5]],
  'balanced options': ['SHOAL_BAD_OPTION', (options) => client.balanced(options), [null, 5]],
  'view options': [
    'SHOAL_BAD_OPTION',
    (...options) => client.view(...(['all', ...options] as never as ['all'])),
    [null, 5, 'all', { nonsense: 1 }, { block: true }]
  ],
  'job options': [
    'SHOAL_BAD_OPTION',
    (options) => client.job('a'.repeat(16), options),
    [null, 5, { returnErrors: 'yes' }, { signal: 5 }, { retries: 1 }]
  ],
  'task options': [
    'SHOAL_BAD_OPTION',
    (options) => client.task('a'.repeat(16), options),
    [null, 5, { signal: 5 }, { returnErrors: true }]
  ],
  'get options': ['SHOAL_BAD_OPTION', (options) => client.get(data, options), [null, 5, { timeout: 1 }]],
  'stream options': ['SHOAL_BAD_OPTION', (options) => client.stream(data, options), [null, { timeout: 1 }]],
  'save options': [
    'SHOAL_BAD_OPTION',
    (options) => client.save(data, join(mesh.folder, 'saved'), options),
    [null, 5, { timeout: 1 }]
  ],
  'graph options': ['SHOAL_BAD_OPTION', (options) => client.graph({ a: call(() => 1) }, options), [null, 5]],
  'queue options': ['SHOAL_BAD_OPTION', (options) => client.queue('q', options), [null, 5]],
  'lock options': ['SHOAL_BAD_OPTION', (options) => client.lock('l', options), [null, 5]],
  'semaphore options': ['SHOAL_BAD_OPTION', (options) => client.semaphore('s', 1, options), [null, 5]],
  'waitForEngines options': ['SHOAL_BAD_OPTION', (options) => client.waitForEngines(1, options), [null, 5]],
  'source options': ['SHOAL_BAD_OPTION', (options) => client.source('s', options).next(), [null, 5]],
  'watch options': [
    'SHOAL_BAD_OPTION',
    (options) =>
      client.watch(
        client.submit(() => 1),
        options
      ),
    [null, 5]
  ],
  'watch(handle)': ['SHOAL_BAD_OPTION', (handle) => client.watch(handle), nothing],
  'put(source)': [
    'SHOAL_BAD_OPTION',
    (source) => client.put(source),
    [...nothing, { file: 'no-such-file' }, { file: 5 }]
  ],
  'put options': [
    'SHOAL_BAD_OPTION',
    (options) => client.put(new Uint8Array(1), options),
    [null, 5, { kind: 'x' }]
  ],
  'graph(calls)': [
    'SHOAL_BAD_OPTION',
    (calls) => client.graph(calls),
    [undefined, null, 5, 'x', [5], call(Math.max)]
  ],
  'graph arguments': [
    'SHOAL_BAD_VALUE',
    (args) => client.graph({ a: call((x: number) => x, args) }),
    [5, 'x', null]
  ],
  'put({ keepers })': [
    'SHOAL_BAD_OPTION',
    (keepers) => client.put(new Uint8Array(1), { keepers }),
    [0, -1, 16, 0.5, '2', null, { min: 2 }]
  ],
  'run(options)': ['SHOAL_BAD_OPTION', (options) => client.run(options), nothing],
  'run({ files })': [
    'SHOAL_BAD_OPTION',
    (files) => client.run({ command: 'true', files }),
    ['x', 5, [5], [{}]]
  ],
  'run({ env })': ['SHOAL_BAD_OPTION', (env) => client.run({ command: 'true', env }), ['x', 5, { A: 5 }]],
  'run({ each })': ['SHOAL_BAD_OPTION', (each) => client.run({ command: 'true', each }), ['x', 5, {}]],
  'run({ stdin })': [
    'SHOAL_BAD_OPTION',
    (stdin) => client.run({ command: 'cat', stdin }),
    [5, {}, { file: 'no-file' }]
  ],
  'run({ shell })': ['SHOAL_BAD_OPTION', (shell) => client.run({ command: 'true', shell }), ['yes', 1]],
  'view(targets)': [
    'SHOAL_NOT_FOUND',
    (targets) => client.view(targets).apply(() => 1),
    [...nothing, Number.NaN, 0.5]
  ],
  'execute(statements)': ['SHOAL_BAD_OPTION', (text) => all().execute(text), [undefined, null, 5, {}]],
  'run(file)': ['SHOAL_BAD_OPTION', (file) => all().run(file), [undefined, 5, 'no-such-file.js']],
  'push(values)': ['SHOAL_BAD_OPTION', (values) => all().push(values), [undefined, null, 5, 'x', [1]]],
  'pull(names)': ['SHOAL_BAD_OPTION', (names) => all().pull(names), [...nothing, [5]]],
  'gather(name)': ['SHOAL_BAD_OPTION', (name) => all().gather(name), nothing],
  'scatter(name)': ['SHOAL_BAD_OPTION', (name) => all().scatter(name, [1]), nothing],
  'scatter(values)': ['SHOAL_BAD_OPTION', (values) => all().scatter('x', values), [undefined, null, 5, {}]],
  'apply(fn)': ['SHOAL_BAD_FUNCTION', (fn) => all().apply(fn), nothing],
  'map(inputs)': ['SHOAL_BAD_VALUE', (inputs) => all().map((x) => x, inputs), [undefined, null, 5, {}]],
  'new Reference(name)': ['SHOAL_BAD_OPTION', (name) => new Reference(name), nothing],
  'connect(options)': [
    'SHOAL_BAD_OPTION',
    (options) => connect(options),
    [
      null,
      5,
      ...[{ key: 5 }, { peers: 'x' }, { peers: [5] }, { peer: [] }, { hosted: 'yes' }].map((one) => ({
        key,
        ...one
      }))
    ]
  ]
}
for (const [what, [code, use, values]] of Object.entries(refused)) {
  test(`${what} refuses what it cannot use with ${code}`, async () => {
    for (const value of values)
      await expect((async () => await use(value as never))(), JSON.stringify(value)).rejects.toMatchObject({
        code
      })
    expect(await client.submit((x: number) => x, [1])).toBe(1)
  })
}

test('inputs that lie within themselves or very deep arrive, or are refused by their place', async () => {
  interface Ring {
    readonly n: number
    self?: Ring
    all?: unknown[]
  }
  const ring: Ring = { n: 3 }
  ring.self = ring
  ring.all = [ring, [ring]]
  const last = (one: Ring): unknown => (one.self?.self?.all?.[0] as Ring | undefined)?.n
  expect(await client.map(last, [ring])).toEqual([3])
  expect(await client.submit(last, [ring])).toBe(3)
  const view = all()
  await view.push({ ring })
  const [pulled] = (await view.pull('ring')) as Ring[]
  expect(pulled?.self?.self?.n).toBe(3)
  let deep: unknown[] = []
  for (let i = 0; i < 20_000; i++) deep = [deep]
  await expect(client.map((x: unknown) => x, [1, deep])).rejects.toMatchObject({
    code: 'SHOAL_BAD_VALUE',
    message: expect.stringMatching(/^input 1 cannot be sent: args\S* .*nested too deeply/)
  })
})

test('what throws when it is read is named by its place, also behind a handle', async () => {
  const jar = {
    get lid(): never {
      throw new TypeError('it is stuck')
    }
  }
  const closed = new Proxy(
    {},
    {
      ownKeys: () => {
        throw new Error('nothing to see')
      }
    }
  )
  const echo = (x: unknown): unknown => x
  const handle = client.submit(() => 1)
  const cases: [unknown, string][] = [
    [{ rows: [0, jar] }, 'args[0].rows[1].lid cannot be read: TypeError: it is stuck'],
    [{ 'a b': closed }, 'args[0]["a b"] cannot be read: Error: nothing to see'],
    [new Map([['k', jar]]), 'args[0].get("k").lid cannot be read: TypeError: it is stuck'],
    [{ handle, f: echo }, 'args[0].f is a function and cannot travel; send data only']
  ]
  for (const [input, message] of cases) {
    await expect(client.submit(echo, [input]), message).rejects.toMatchObject({
      code: 'SHOAL_BAD_VALUE',
      message
    })
    await expect(client.map(echo, [1, 2, input]), message).rejects.toMatchObject({
      code: 'SHOAL_BAD_VALUE',
      message: `input 2 cannot be sent: ${message}`
    })
  }
})

test('a handle that is in two places of one input is filled in at both', async () => {
  const shared = { three: client.submit(() => 3) }
  const sum = ([a, b]: { three: number }[]): number => (a?.three ?? 0) + (b?.three ?? 0)
  expect(await client.map(sum as never, [[shared, shared]])).toEqual([6])
})
