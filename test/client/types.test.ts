/**
 * Types that people rely on: `npm run types` checks what stands here, and nothing of it is run.
 *
 * Not here: whether the package brings these types along (test/integration/package.test.ts).
 */
import { expectTypeOf, test } from 'vitest'
import type { SyncClient, SyncHold } from '../../src/client/sync/sync.ts'
import {
  type AsyncResult,
  type BalancedView,
  type Call,
  type Client,
  call,
  type DirectView,
  type JobHandle,
  type ModuleFunction,
  type ProgramResult,
  type Ref,
  ref,
  type TaskHandle
} from '../../src/index.ts'

/** Compiled, and never called. */
const compiled = <A extends readonly unknown[]>(_uses: (...args: A) => void): void => {}

test('what the blocking client shares with the mesh gives its values, and takes no signal', () => {
  compiled((mesh: SyncClient, signal: AbortSignal) => {
    const lock = mesh.lock('a', { lease: 1_000 })
    expectTypeOf(lock.name).toEqualTypeOf<string>()
    expectTypeOf(lock.isHeld()).toEqualTypeOf<boolean>()
    expectTypeOf(lock.tryAcquire()).toEqualTypeOf<SyncHold | undefined>()
    const hold = lock.acquire({ timeout: 5 })
    expectTypeOf(hold.token).toEqualTypeOf<number>()
    expectTypeOf(hold.isHeld).toEqualTypeOf<boolean>()
    expectTypeOf(hold.release()).toEqualTypeOf<void>()
    // @ts-expect-error It would never abort.
    hold.signal
    // @ts-expect-error Nothing can abort the wait.
    lock.acquire({ signal })
    // @ts-expect-error Nor a look.
    lock.isHeld({ signal })
    expectTypeOf(mesh.semaphore('s', 3).held()).toEqualTypeOf<number>()
    expectTypeOf(mesh.semaphore('s', 3).permits).toEqualTypeOf<number>()
    expectTypeOf(mesh.semaphore('s', 3).acquire()).toEqualTypeOf<SyncHold>()
    expectTypeOf(mesh.event('e').isSet()).toEqualTypeOf<boolean>()
    expectTypeOf(mesh.event('e').wait({ timeout: 5 })).toEqualTypeOf<void>()
    expectTypeOf(mesh.queue<number>('q').get({ timeout: 5 })).toEqualTypeOf<number>()
    expectTypeOf(mesh.variable<number>('v').newer(0).value).toEqualTypeOf<number | undefined>()
  })
})

test('what the blocking client calls on its own thread cannot be asynchronous', () => {
  compiled((mesh: SyncClient) => {
    const held = mesh.lock('a').with((hold) => [hold.token, hold.isHeld] as const)
    expectTypeOf(held).toEqualTypeOf<readonly [number, boolean]>()
    // @ts-expect-error It would have to be awaited.
    mesh.lock('a').with(async () => 1)
    expectTypeOf(mesh.variable<number>('v').update((n = 0) => n + 1)).toEqualTypeOf<number>()
    // @ts-expect-error The same.
    mesh.variable<number>('v').update(async (n = 0) => n + 1)
  })
})

test('the blocking client takes no signal for data and questions, and a call of a graph gives its own value', () => {
  compiled((mesh: SyncClient, data: Ref, signal: AbortSignal) => {
    expectTypeOf(mesh.get(data)).toEqualTypeOf<Uint8Array>()
    // @ts-expect-error Nothing can abort it.
    mesh.get(data, { signal })
    // @ts-expect-error The same.
    mesh.waitForEngines(2, { signal })
    const graph = mesh.graph(
      { n: call(() => 1), text: call((n: number) => `${n}`, [ref('n')]) },
      { block: false }
    )
    expectTypeOf(graph.get()).toEqualTypeOf<{ n: number; text: string }>()
    expectTypeOf(graph.task('text').get()).toEqualTypeOf<string>()
    async function* names(): AsyncGenerator<string> {}
    // @ts-expect-error An asynchronous source needs the other client.
    mesh.run({ command: 'echo', each: names() })
    expectTypeOf(mesh.run({ command: 'echo', each: ['a'] })).toEqualTypeOf<ProgramResult[]>()
  })
})

interface Scan {
  kind: 'raw' | 'flat'
  parts: { rows: number[]; bytes: Uint8Array }[]
}
interface Tree {
  value: number
  children: Tree[]
}

test('a Ref stands for bytes, and a handle for what it gives, as deep as it likes', () => {
  compiled((mesh: Client, data: Ref, left: TaskHandle<number>, all: JobHandle<number>) => {
    const length = (bytes: Uint8Array): number => bytes.length
    expectTypeOf(mesh.submit(length, [data])).toEqualTypeOf<TaskHandle<number>>()
    expectTypeOf(mesh.map(length, [data, new Uint8Array()])).toEqualTypeOf<JobHandle<number>>()
    const scanOf = (scan: Scan): Scan => scan
    void mesh.submit(scanOf, [{ kind: 'raw', parts: [{ rows: [left, 2], bytes: data }] }])
    void mesh.submit(scanOf, [{ kind: 'raw', parts: [{ rows: all, bytes: data }] }])
    void mesh.map(scanOf, [{ kind: 'flat', parts: [{ rows: [left], bytes: data }] }])
    void mesh.map((n: number, scan: Scan) => [n, scan], [[left], [{ kind: 'raw', parts: [] }]], { zip: true })
    void mesh.submit((tree: Tree) => tree, [{ value: 1, children: [{ value: left, children: [] }] }])
    void mesh.submit((either?: Uint8Array | string) => either, [data])
    call(scanOf, [{ kind: 'raw', parts: [{ rows: [left, ref('a')], bytes: data }] }])
  })
})

test('a function that does not say what it takes sees what arrives', () => {
  compiled((mesh: Client, view: BalancedView, scan: Ref, left: TaskHandle<number>) => {
    const parts = [{ from: 0, to: 9 }]
    const inputs = parts.map((part) => ({ ...part, scan }))
    const job = mesh.map(({ from, to, scan }) => scan.subarray(from, to).length, inputs)
    expectTypeOf(job).toEqualTypeOf<JobHandle<number>>()
    expectTypeOf(mesh.submit((x) => x.rows, [{ rows: [left] }])).toEqualTypeOf<TaskHandle<number[]>>()
    expectTypeOf(mesh.submit((_, b) => b, [left, 'b'])).toEqualTypeOf<TaskHandle<string>>()
    const rows = mesh.map((n, bytes) => ({ n, bytes }), [[left], [scan]], { zip: true })
    expectTypeOf(rows).toEqualTypeOf<JobHandle<{ n: number; bytes: Uint8Array }>>()
    expectTypeOf(call((_, bytes) => bytes, [left, scan])).toEqualTypeOf<Call<Uint8Array>>()
    expectTypeOf(view.apply((_, bytes) => bytes, left, scan)).toEqualTypeOf<AsyncResult<Uint8Array>>()
    expectTypeOf(view.map((input) => input.scan, inputs)).toEqualTypeOf<AsyncResult<Uint8Array[]>>()
    expectTypeOf(view.imap((input) => input.scan, inputs)).toEqualTypeOf<AsyncResult<Uint8Array[]>>()
  })
})

test('a view of engines and the blocking client take them, too', () => {
  compiled((mesh: SyncClient, view: DirectView, scan: Ref, left: TaskHandle<number>) => {
    expectTypeOf(view.map((input) => input.rows, [{ rows: [left] }])).toEqualTypeOf<AsyncResult<number[][]>>()
    void view.map((scan: Scan) => scan, [{ kind: 'raw', parts: [{ rows: [left], bytes: scan }] }])
    const before = mesh.submit((n: number) => n, [1], { block: false })
    expectTypeOf(mesh.submit((x) => x.rows, [{ rows: [before] }])).toEqualTypeOf<number[]>()
    expectTypeOf(mesh.submit((bytes: Uint8Array) => bytes.length, [scan])).toEqualTypeOf<number>()
    expectTypeOf(mesh.map((input) => input.scan, [{ scan }])).toEqualTypeOf<Uint8Array[]>()
    expectTypeOf(mesh.balanced().map((x) => x.rows, [{ rows: [before] }])).toEqualTypeOf<number[][]>()
    expectTypeOf([...mesh.imap((x) => x.rows, [{ rows: [before] }])]).toEqualTypeOf<number[][]>()
    // @ts-expect-error A number is no bytes.
    void mesh.submit((bytes: Uint8Array) => bytes.length, [before])
  })
})

test('of a generator, views give all that it yields, as a list', () => {
  compiled((mesh: Client, blocking: SyncClient, view: DirectView) => {
    const one = function* (n: number): Generator<string> {
      yield `${n}`
    }
    const later = async function* (n: number, text: string): AsyncGenerator<string> {
      yield text.repeat(n)
    }
    const zip = true
    const balanced = mesh.balanced()
    expectTypeOf(balanced.apply(one, 1)).toEqualTypeOf<AsyncResult<string[]>>()
    expectTypeOf(balanced.map(one, [1])).toEqualTypeOf<AsyncResult<string[][]>>()
    expectTypeOf(balanced.map(later, [[1], ['a']], { zip })).toEqualTypeOf<AsyncResult<string[][]>>()
    expectTypeOf(balanced.imap(one, [1])).toEqualTypeOf<AsyncResult<string[][]>>()
    expectTypeOf(balanced.imap(later, [[1], ['a']], { zip })).toEqualTypeOf<AsyncResult<string[][]>>()
    expectTypeOf(view.map(one, [1])).toEqualTypeOf<AsyncResult<string[][]>>()
    expectTypeOf(view.map(later, [[1], ['a']], { zip })).toEqualTypeOf<AsyncResult<string[][]>>()
    const blocked = blocking.balanced()
    expectTypeOf(blocked.apply(one, 1)).toEqualTypeOf<string[]>()
    expectTypeOf(blocked.map(one, [1])).toEqualTypeOf<string[][]>()
    expectTypeOf(blocked.map(later, [[1], ['a']], { zip })).toEqualTypeOf<string[][]>()
    expectTypeOf([...blocked.imap(one, [1])]).toEqualTypeOf<string[][]>()
    expectTypeOf(blocking.view('all').map(one, [1])).toEqualTypeOf<string[][]>()
    expectTypeOf(blocking.view('all').map(later, [[1], ['a']], { zip })).toEqualTypeOf<string[][]>()
  })
})

test('views take functions of modules wherever they take others', () => {
  compiled((mesh: Client, blocking: SyncClient, view: DirectView, exported: ModuleFunction) => {
    const rows = [[1, 2], ['a']] as const
    const zip = true
    void mesh.balanced().map(exported, rows, { zip })
    void mesh.balanced().imap(exported, rows, { zip })
    void mesh.balanced().map(exported, [1])
    void view.map(exported, [1])
    void view.map(exported, rows, { zip })
    void view.apply(exported, 1)
    blocking.balanced().map(exported, rows, { zip })
    blocking.balanced().imap(exported, rows, { zip })
    blocking.view(0).map(exported, [1])
    blocking.view(0).map(exported, rows, { zip })
  })
})

test('anything else than what a function takes is refused', () => {
  compiled((mesh: Client, view: BalancedView, data: Ref, left: TaskHandle<number>) => {
    // @ts-expect-error A text is no number.
    void mesh.submit((n: number) => n, ['a'])
    // @ts-expect-error Nor are bytes.
    void mesh.submit((n: number) => n, [data])
    // @ts-expect-error One is missing.
    void mesh.submit((n: number, m: number) => n + m, [left])
    // @ts-expect-error One is too many.
    void mesh.submit((n: number) => n, [1, 2])
    // @ts-expect-error The handle gives a number.
    void mesh.submit((scan: { rows: string[] }) => scan, [{ rows: [left] }])
    // @ts-expect-error A number is no bytes.
    void mesh.submit((scan: Scan) => scan, [{ kind: 'raw', parts: [{ rows: [], bytes: left }] }])
    // @ts-expect-error There is no such kind.
    void mesh.map((scan: Scan) => scan, [{ kind: 'round', parts: [] }])
    // @ts-expect-error The second is no number.
    void mesh.map((n: number) => n, [1, 'b'])
    // @ts-expect-error The second source has texts.
    void mesh.map((n: number, m: number) => n + m, [[1], ['b']], { zip: true })
    // @ts-expect-error Deep within it is a text.
    void mesh.submit((tree: Tree) => tree, [{ value: 1, children: [{ value: 'b', children: [] }] }])
    // @ts-expect-error A Ref is no date.
    call((date: Date) => date, [data])
    // @ts-expect-error A text is no bytes.
    void view.apply((n: number, bytes: Uint8Array) => bytes[n], left, 'b')
  })
})

test('what stands for nothing is seen as it was given', () => {
  compiled((mesh: Client, tree: Tree, unsaid: unknown) => {
    expectTypeOf(mesh.submit((a, b) => a + b, [1, 2])).toEqualTypeOf<TaskHandle<number>>()
    expectTypeOf(mesh.map((one) => one, [tree])).toEqualTypeOf<JobHandle<Tree>>()
    expectTypeOf(mesh.map((one) => one, new Map([['a', 1]]))).toEqualTypeOf<JobHandle<[string, number]>>()
    expectTypeOf(mesh.map((one) => one, [unsaid])).toEqualTypeOf<JobHandle<unknown>>()
    expectTypeOf(mesh.map(<T>(one: T) => one, [1])).toEqualTypeOf<JobHandle<number>>()
    const paired = <T extends { id: string }>(all: T[]) => mesh.map((one) => [one.id, one] as const, all)
    expectTypeOf(paired([{ id: 'a', n: 1 }])).toEqualTypeOf<
      JobHandle<readonly [string, { id: string; n: number }]>
    >()
    const calledLater = <A extends unknown[], R>(fn: (...args: A) => R, ...args: A) => mesh.submit(fn, args)
    expectTypeOf(calledLater((a: number, b: string) => b + a, 1, 'b')).toEqualTypeOf<TaskHandle<string>>()
  })
})

test('a view of many jobs takes no `key`, which names one', () => {
  compiled((mesh: Client, blocking: SyncClient) => {
    mesh.balanced({ retries: 2 })
    // @ts-expect-error It is refused.
    mesh.balanced({ key: 'night' })
    // @ts-expect-error Here, too.
    blocking.balanced({ key: 'night', block: false })
  })
})
