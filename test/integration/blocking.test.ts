/**
 * The blocking client as people use it: scripts without an await, a prompt, and Ctrl-C, on nodes that are killed.
 *
 * Not here: what tasks and jobs do (test/conformance). Each script is a process of its own, since it sleeps while it waits.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Client, connect } from '../../src/index.ts'
import { Lab, type NodeProcess, untilMeshed, untilStatus } from './processes.ts'
import { run as runScript, type Script, start, sync } from './scripts.ts'

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

const run = (text: string, peers: readonly NodeProcess[] = nodes): Promise<Script> =>
  runScript(lab, peers, text)

test('a script without an await: every verb returns its value, and the process ends by itself', async () => {
  const { ended } = await run(`
    const mesh = connectSync()
    const say = (value) => console.log(JSON.stringify(value))
    say(mesh.map((x) => x * x, [1, 2, 3]))
    say(mesh.submit((a, b) => a + b, [1, 2]))
    say(mesh.members().length)
    const job = mesh.map((x) => x + 1, [1, 2, 3], { block: false })
    say([job.wait(), job.ready, job.successful, job.progress.done, job.get(), job.metadata(2).attempt])
    say(mesh.job(job.id).get())
    say(mesh.jobs().some(({ id }) => id === job.id))
    say(mesh.status().nodes.length)
    job.release()
    function* endless() { for (let n = 0; ; n++) yield n }
    const seen = []
    for (const n of mesh.imap((x) => 10 * x, endless(), { inFlightMax: 5 })) {
      seen.push(n)
      if (seen.length === 7) break
    }
    say(seen)
    say([...mesh.map((x) => x, [1, 2], { block: false }).asCompleted()].map(({ value }) => value).sort())
  `)
  const { code, out, errors } = await ended
  expect({ code, out, errors }).toEqual({
    code: 0,
    out: [
      '[1,4,9]',
      '3',
      '3',
      '[true,true,true,3,[2,3,4],1]',
      '[2,3,4]',
      'true',
      '3',
      '[0,10,20,30,40,50,60]',
      '[1,2]'
    ],
    errors: ''
  })
})

test('what tasks print appears while the caller is blocked', async () => {
  const go = join(lab.folder, 'go')
  const script = await run(`
    const mesh = connectSync()
    const waits = async (file) => {
      const { existsSync } = await import('node:fs')
      console.error('complained')
      // Words on the way may be lost, and are told again at the end.
      while (!existsSync(file)) {
        console.log('begun')
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      console.log('over')
      return 'value'
    }
    console.log(mesh.submit(waits, ['${go}']))
    mesh.view([0]).apply(() => console.log('of a view'))
    for (const n of mesh.imap((x) => console.log('input ' + x), [7])) console.log('after it')
    mesh.view(0).execute('console.log("of statements")')
    const silent = connectSync({ output: false })
    silent.submit(() => console.log('never'))
    console.log(silent.submit(() => console.log('kept'), [], { block: false }).stdout === '')
  `)
  await script.line('begun')
  await writeFile(go, '')
  const { out, errors } = await script.ended
  expect([...new Set(out)]).toEqual([
    'begun',
    'over',
    'value',
    'of a view',
    'input 7',
    'after it',
    'of statements',
    'true'
  ])
  expect(new Set(errors.split('\n'))).toEqual(new Set(['complained', '']))
})

test('in CommonJS, and `using` ends it', async () => {
  const { ended } = await run(`
    const { connectSync } = require(${JSON.stringify(sync.pathname)})
    const mesh = connectSync()
    console.log(mesh.submit((a) => a.length, ['four'])) 
    mesh.close()
    try { mesh.members() } catch (error) { console.log(error.code) }
    mesh.close()
  `)
  expect(await ended).toMatchObject({ code: 0, out: ['4', 'SHOAL_CLOSED'] })
})

test('errors have the stack of the caller, and the one of the engine as their cause', async () => {
  const { ended } = await run(`
    const mesh = connectSync()
    const told = (error) => [error.constructor.name, error.code, error.name, error.message]
    function caught(call) {
      try { call(); console.log('nothing') } catch (error) { console.log(JSON.stringify(told(error))); return error }
    }
    function here() { mesh.submit(function there() { throw new RangeError('too far') }) }
    const error = caught(here)
    console.log(error.stack.includes('at here') && !error.stack.includes('at there'))
    console.log(error.cause.stack.includes('at there') && error.cause.stack.includes('on engine'))
    console.log(error.engine === error.cause.engine && error.taskId.length > 10 && error.attempt === 1)
    const several = caught(() => mesh.map((n) => { throw new Error('no ' + n) }, [1, 2]))
    console.log(several.errors.map(({ message }) => message).join())
    caught(() => mesh.submit((x) => x, [{ list: [() => 1] }]))
    caught(() => mesh.map((x) => x, [1, () => 2]))
    const outside = 1
    caught(() => mesh.submit(() => outside))
    caught(() => mesh.submit((x) => x, [1], { retries: -1 }))
    caught(() => mesh.map((x) => x, [1], { signal: AbortSignal.timeout(5) }))
    caught(() => mesh.job('nobody-has-this').get())
    const mine = new Error('of the source')
    function* source() { yield 1; throw mine }
    console.log(caught(() => mesh.map((x) => x, source())) === mine)
    const slow = mesh.submit(() => new Promise((resolve) => setTimeout(resolve, 300, 'late')), [], { block: false })
    for (let i = 0; i < 2; i++) caught(() => slow.get(0))
    console.log(slow.get())
  `)
  const { out, code, errors } = await ended
  expect({ code, errors }).toEqual({ code: 0, errors: '' })
  expect(out).toEqual([
    '["TaskError","TASK_FAILED","RangeError","too far"]',
    'true',
    'true',
    'true',
    expect.stringContaining('["CompositeError",null,"CompositeError"'),
    'no 1,no 2',
    expect.stringContaining('SHOAL_BAD_VALUE","ShoalError","args[0].list[0] is a function'),
    expect.stringContaining('SHOAL_BAD_VALUE'),
    expect.stringContaining('captures `outside`'),
    expect.stringContaining('SHOAL_BAD_OPTION'),
    expect.stringContaining('SHOAL_BAD_OPTION'),
    expect.stringContaining('SHOAL_NOT_FOUND'),
    '["Error",null,"Error","of the source"]',
    'true',
    expect.stringContaining('SHOAL_TIMEOUT'),
    expect.stringContaining('SHOAL_TIMEOUT'),
    'late'
  ])
})

test('no mesh, no key, a wrong key: thrown, and no process stays', async () => {
  const { ended } = await run(
    `
    for (const options of [{ peers: ['/ip4/127.0.0.1/tcp/1'], mdns: false, timeout: 1500 }, { key: '/nowhere/lab.key' }]) {
      try { connectSync(options) } catch (error) { console.log(error.code, error.stack.includes('${lab.folder}')) }
    }
  `,
    []
  )
  expect(await ended).toMatchObject({ code: 0, out: ['SHOAL_NO_MESH true', 'SHOAL_BAD_KEY true'] })
})

test('Ctrl-C ends a script that waits', async () => {
  const { child, line, ended } = await run(`
    const mesh = connectSync()
    console.log('waits')
    mesh.submit(() => new Promise((resolve) => setTimeout(resolve, 600_000)))
  `)
  await line('waits')
  child.kill('SIGINT')
  expect(await ended).toMatchObject({ code: null, signal: 'SIGINT' })
  const all = await client.jobs()
  for (const { id, done, tasks } of all) if (done < tasks) await client.job(id).cancel()
})

test('Ctrl-C at a prompt ends the call and what it had begun, and the next call works', async () => {
  const { child, line, ended } = start(lab, nodes, ['--interactive'])
  const type = (text: string): void => void child.stdin?.write(`${text}\n`)
  type(`const { connectSync } = await import('${sync.href}'); const mesh = connectSync(); 'ready'`)
  await line('ready')
  type(`console.log('begins'); mesh.submit(() => new Promise((resolve) => setTimeout(resolve, 600_000)))`)
  await line('begins')
  await untilStatus(client, (all) => all.some(({ running }) => running > 0))
  child.kill('SIGINT')
  type(`'goes on ' + mesh.submit((a) => a + 1, [41])`)
  await line('goes on 42')
  await untilStatus(client, (all) => all.every(({ running }) => running === 0))
  type('.exit')
  expect(await ended).toMatchObject({ code: 0 })
})

test('a host that has ended is noticed within a second', async () => {
  // Inside the host: it leaves without a word, as if it had run out of memory.
  const { ended } = await run(`
    import { Worker } from 'node:worker_threads'
    const workers = []
    const on = Worker.prototype.on
    Worker.prototype.on = function (...args) { workers.push(this); return on.apply(this, args) }
    const mesh = connectSync()
    mesh.members()
    const host = workers[0]
    // Time in which nothing of this process went on does not count.
    const stalled = new Float64Array(new SharedArrayBuffer(8))
    const watch = \`
      const { workerData: stalled } = process.getBuiltinModule('node:worker_threads')
      let last = performance.now()
      setInterval(() => {
        const now = performance.now()
        if (now - last > 500) stalled[0] += now - last
        last = now
      }, 20)
    \`
    new Worker(watch, { eval: true, workerData: stalled }).unref()
    const moment = () => {
      const now = performance.now()
      // Until what stood still just now is counted.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100)
      return now - stalled[0]
    }
    function* source() {
      yield 1
      host.terminate()
      globalThis.endedAt = moment()
      yield 2
    }
    try {
      mesh.map((x) => new Promise((resolve) => setTimeout(resolve, 60_000, x)), source())
    } catch (error) {
      console.log(error.code, moment() - endedAt < 1_500)
    }
    try { mesh.members() } catch (error) { console.log(error.code) }
  `)
  expect(await ended).toMatchObject({
    code: 0,
    out: ['SHOAL_BLOCKING_HOST_LOST true', 'SHOAL_BLOCKING_HOST_LOST']
  })
})

test('its entry is killed in the middle of an iteration and of a call: nothing is missing, nothing comes twice', async () => {
  const entry = await lab.start('entry', nodes, { slots: 1 })
  await untilMeshed(client, 4)
  const { line, ended } = await run(
    `
    const mesh = connectSync({ mdns: false })
    const pause = (n) => new Promise((resolve) => setTimeout(resolve, 5, n))
    const inputs = Array.from({ length: 600 }, (_, n) => n)
    const seen = []
    for (const n of mesh.imap(pause, inputs)) {
      seen.push(n)
      if (seen.length === 100) console.log('kill')
    }
    console.log(JSON.stringify(seen) === JSON.stringify(inputs))
    console.log(mesh.map(pause, inputs).length)
  `,
    [entry, ...nodes]
  )
  await line('kill')
  await entry.kill()
  expect(await ended).toMatchObject({ code: 0, out: ['kill', 'true', '600'], errors: '' })
})
