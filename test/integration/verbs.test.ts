/**
 * What the blocking client can: whatever the asynchronous one can, with the same errors and in plain values.
 *
 * Not here: how it blocks, is interrupted, and loses its host or its entry (blocking.test.ts).
 */
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type {
  SyncBalancedView,
  SyncClient,
  SyncHandle,
  SyncJob,
  SyncView
} from '../../src/client/sync/sync.ts'
import {
  type BalancedView,
  type Client,
  call,
  connect,
  type DirectView,
  type JobHandle,
  type TaskHandle
} from '../../src/index.ts'
import { programOf } from './prepare.ts'
import { Lab, type NodeProcess, untilMeshed } from './processes.ts'
import { run as runScript, type Script } from './scripts.ts'

const index = pathToFileURL(programOf(new URL('../../src/index.ts', import.meta.url)))

let lab: Lab
let nodes: NodeProcess[]
let client: Client
beforeAll(async () => {
  lab = await Lab.open()
  nodes = await lab.mesh(3)
  client = await connect({ key: lab.key, peers: nodes.slice(0, 1).map(({ address }) => address) })
  await untilMeshed(client, 3)
})
afterAll(async () => {
  await client.close()
  await lab.close()
})

const run = (text: string): Promise<Script> => runScript(lab, nodes, text)

test('views, graphs, programs, data, and several handles: whatever the asynchronous client can', async () => {
  const { ended } = await run(`
    import { call, Reference, ref } from '${index.href}'
    import { writeFileSync } from 'node:fs'
    const mesh = connectSync()
    const say = (value) => console.log(JSON.stringify(value))
    const all = mesh.view('all')
    all.push({ a: 2, block: true })
    say([all.execute('a + 1'), mesh.view(0).pull('block'), all.apply((x) => a * x, 5)])
    say(mesh.view(0).apply((x) => x, { deep: [new Reference('a')] }))
    all.scatter('part', [1, 2, 3, 4, 5, 6, 7])
    say([all.gather('part'), all.map((x) => a * x, function* () { yield 1; yield 2 }()), all.engines().length])
    const first = mesh.engines()[0].id
    let asked = 0
    const some = mesh.view((engine) => { asked++; return engine.id === first })
    say([some.execute('3'), asked])
    const later = mesh.view('all', { block: false }).execute("console.log('out'); 7")
    say([later.get(), later.ready, later.successful, later.stdout, later.metadata(1).attempt])
    const lb = mesh.balanced({ retries: 1 })
    say([lb.apply((a, b) => a + b, 1, 2), lb.map((x) => x + 1, [1, 2]), lb.map((a, b) => a * b, [[1, 2], new Set([3, 4])], { zip: true })])
    let made = 0
    function* endless() { for (;;) yield made++ }
    const seen = []
    for (const n of lb.imap((x) => 2 * x, endless(), { maxOutstanding: 3 })) {
      seen.push(n)
      if (seen.length === 4) break
    }
    say([seen, made < 10, lb.imap((x) => x, [5, 6]).get()])
    const results = mesh.balanced({ block: false }).map((x) => x, [5, 6])
    say([[...results], results.get()])
    const calls = { a: call((x) => x + 1, [1]), b: call((x, y) => x * y, [ref('a'), 10]) }
    const graph = mesh.graph(calls, { block: false })
    say([mesh.graph(calls), graph.get(), graph.metadata('b').attempt])
    const one = mesh.submit((x) => x, [20], { block: false })
    say(mesh.submit((a, { b: [b] }) => a + b, [one, { b: [graph.task('b')] }]))
    say(mesh.map((x) => x + 1, [one, 5], { after: one }))
    const bytes = new Uint8Array(2_000_000).fill(7)
    const data = mesh.put(bytes)
    let size = 0
    for (const chunk of mesh.stream(data)) size += chunk.byteLength
    const pieces = mesh.put(function* () { yield bytes.subarray(0, 3); yield bytes.subarray(0, 2) }())
    mesh.save(pieces, process.argv[1] + '.saved')
    say([size, mesh.get(pieces).length, mesh.submit((x) => x.length, [data])])
    mesh.free(data, pieces)
    const three = [one, graph, mesh.map((x) => { if (x) throw new RangeError('no') }, [0, 1], { block: false })]
    const { done, failed, pending } = mesh.wait(new Set(three))
    say([done.map((h) => three.indexOf(h)), failed.map((h) => three.indexOf(h)), pending])
    say([...mesh.asCompleted(three)].map(({ index, handle }) => three[index] === handle))
    const mixed = mesh.map((x) => { if (x) throw new RangeError('no'); return x }, [0, 1], { returnErrors: true })
    say([mixed[0], mixed[1].name, mixed[1].attempt])
    { const { state, done } = mesh.job(one.id).status(); say([state, done]) }
    try { mesh.job('AAAAAAAAAAAAAAAA').status() } catch (error) { say(error.code) }
    const found = mesh.task(one.id)
    say([found.get(), found.status().state, found.metadata.attempt, one.metadata.engine === found.metadata.engine])
    const counts = mesh.variable('counts')
    counts.set(3)
    say([counts.update((n) => n + mesh.map((x) => x, [4])[0]), mesh.lock('door').with((hold) => [hold.isHeld, counts.get()])])
    try { mesh.semaphore('seats', 2).with(() => { throw new RangeError('mine') }) } catch (error) { say(error.message) }
    one.accepted
    say(mesh.explain(one.id + ':0').state ?? typeof mesh.explain(one.id + ':0'))
    try { mesh.source('nobody-has-it').next() } catch (error) { say(error.code) }
  `)
  const { code, out, errors } = await ended
  expect({ code, errors }).toEqual({ code: 0, errors: '' })
  expect(out).toEqual([
    '[[3,3,3],true,[10,10,10]]',
    '{"deep":[2]}',
    '[[1,2,3,4,5,6,7],[2,4],3]',
    '[[3],3]',
    String.raw`[[7,7,7],true,true,["out\n","out\n","out\n"],1]`,
    '[3,[2,3],[3,8]]',
    '[[0,2,4,6],true,[5,6]]',
    '[[5,6],[5,6]]',
    '[{"a":2,"b":20},{"a":2,"b":20},1]',
    '40',
    '[21,6]',
    '[2000000,5,2000000]',
    '[[0,1,2],[2],[]]',
    '[true,true,true]',
    '[0,"RangeError",1]',
    '["done",1]',
    '"SHOAL_NOT_FOUND"',
    '[20,"done",1,true]',
    '[7,[true,7]]',
    '"mine"',
    expect.any(String),
    '"SHOAL_NOT_FOUND"'
  ])
})

test('listeners and generators run on the thread of the caller while it waits, and may call the mesh themselves', async () => {
  const { ended } = await run(`
    const mesh = connectSync()
    const pause = (n) => new Promise((resolve) => setTimeout(() => { console.log('said ' + n); resolve(n) }, 20))
    const job = mesh.map(pause, [1, 2, 3], { block: false })
    const heard = []
    let most = 0
    let isIn = false
    job.onOutput(({ index, stdout }) => { heard[index] = (heard[index] ?? '') + stdout })
    const end = job.onProgress(({ done }) => {
      most = isIn ? 'called within itself' : done
      isIn = true
      mesh.submit((x) => x, [0])
      isIn = false
    })
    job.get()
    mesh.members()
    end()
    console.log(JSON.stringify([heard, most]))
    function* inputs() { for (let n = 1; n < 4; n++) yield mesh.submit((x) => 10 * x, [n]) }
    console.log(JSON.stringify(mesh.map((x) => x + 1, inputs())))
    const broken = mesh.submit(pause, [4], { block: false })
    broken.onOutput(() => { throw new Error('of a listener') })
    process.on('uncaughtException', ({ message }) => console.log('uncaught ' + message))
    console.log(broken.get())
  `)
  const { code, out, errors } = await ended
  expect({ code, errors }).toEqual({ code: 0, errors: '' })
  expect(out).toEqual([
    String.raw`[["said 1\n","said 2\n","said 3\n"],3]`,
    '[11,21,31]',
    '4',
    'uncaught of a listener'
  ])
})

test('watch tells on stderr how far something is, also while the caller is blocked', async () => {
  const { ended } = await run(`
    const mesh = connectSync()
    const say = (value) => console.log(JSON.stringify(value))
    const job = mesh.map((n) => { if (n === 2) throw new Error('no') }, [1, 2, 3], { block: false })
    say(mesh.watch(job, { title: 'sweep' }))
    const one = job.task(0)
    say([mesh.watch(one), one.id, one.progress, mesh.submit(() => 1, [], { block: false }).progress.total])
    say(mesh.watch(mesh.view('all', { block: false }).execute('1'), { title: 'view' }).done)
  `)
  const { code, out, errors } = await ended
  const [whole = '', one = '', view] = out
  expect([code, JSON.parse(whole), view]).toEqual([0, { done: 3, total: 3, failed: 1 }, '3'])
  const [numbers, id, progress, total] = JSON.parse(one) as [unknown, string, unknown, unknown]
  expect([numbers, progress, total]).toEqual([{ done: 1, total: 1, failed: 0 }, numbers, 1])
  // No terminal: plain lines, each once, the last of each at its end.
  const lines = errors.trimEnd().split('\n')
  const isLast = (line: string, at: number): boolean => lines[at + 1]?.split(':')[0] !== line.split(':')[0]
  expect(lines.filter(isLast).map((line) => line.replace(/, [0-9.]+\/s$/, ''))).toEqual([
    'sweep: 3/3 done, 1 failed',
    `${id}: 1/1 done, 0 failed`,
    'view: 3/3 done, 0 failed'
  ])
})

/** What a program that holds it can reach, apart from waiting without blocking. */
function namesOf(object: object): string[] {
  const names = new Set<string>()
  for (let at = object; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at))
    for (const name of Object.getOwnPropertyNames(at)) names.add(name)
  return [...names].filter((name) => !/^(constructor|then|catch|finally)$/.test(name)).sort()
}

test('no verb is missing: of the client, and of whatever it gives', async () => {
  const make = `[
    mesh,
    mesh.submit((x) => x, [1], later),
    mesh.map((x) => x, [1], later),
    mesh.graph({ a: call((x) => x, [1]) }, later),
    mesh.run({ command: 'true', ...later }),
    mesh.view('all', later),
    mesh.balanced(later),
    mesh.view('all', later).execute('1'),
    mesh.source('x'),
    mesh.balanced().imap((x) => x, [1])
  ]`
  const { ended } = await run(`
    import { call } from '${index.href}'
    const namesOf = ${namesOf.toString().replaceAll(/: (string\[\]|object)|<string>/g, '')}
    const mesh = connectSync()
    const later = { block: false }
    for (const object of ${make}) console.log(JSON.stringify(namesOf(object)))
  `)
  const { code, out, errors } = await ended
  expect({ code, errors }).toEqual({ code: 0, errors: '' })
  const objects = new Function('mesh', 'call', 'later', `return ${make}`)(client, call, {}) as object[]
  const missing = objects.map((object, at) => {
    const has = new Set(JSON.parse(out[at] ?? '[]') as string[])
    return namesOf(object).filter((name) => !has.has(name))
  })
  expect(missing).toEqual(objects.map(() => []))
  expect(out.length).toBe(objects.length)
  expect(out[0]).toContain('"balanced"')
})

/** Every name has a type of its own, which is known and is none of a promise. */
type Untyped<Async, Sync> = {
  [K in Exclude<keyof Async, 'then' | 'catch' | 'finally' | symbol>]: K extends keyof Sync
    ? unknown extends Sync[K]
      ? K
      : Sync[K] extends (...args: never[]) => PromiseLike<unknown>
        ? K
        : never
    : K
}[Exclude<keyof Async, 'then' | 'catch' | 'finally' | symbol>]

test('no verb is missing in the types either', () => {
  const none: [
    Untyped<Client, SyncClient>,
    Untyped<JobHandle<number>, SyncJob<number>>,
    Untyped<TaskHandle<number>, SyncHandle<number>>,
    Untyped<DirectView, SyncView>,
    Untyped<BalancedView, SyncBalancedView>
  ][] = []
  expect(none).toEqual([])
  // What it stands for: a name that is in one alone does not compile.
  const found: Untyped<{ a: () => void; b: () => void }, { a: () => void }> = 'b'
  expect(found).toBe('b')
})
