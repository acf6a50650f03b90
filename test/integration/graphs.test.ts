/**
 * Graphs on real processes: ten thousand tasks that need each other, while nodes that own and run them are killed.
 *
 * Not here: what each kind of need means (test/conformance/graphs.test.ts), and other orders of events (the simulator).
 */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Call, call, connect, ref } from '../../src/index.ts'
import { withBuilt } from './prepare.ts'
import { Lab, untilMeshed } from './processes.ts'

let lab: Lab
beforeAll(async () => {
  lab = await Lab.open()
})
afterAll(() => lab.close())

const leaves = 5_000
/** Takes half a millisecond, so that there is a midst of it to be killed in. */
const leaf = (n: number): number => {
  const end = performance.now() + 0.5
  while (performance.now() < end);
  return n * n
}
const add = (left: number, right: number): number => left + right

/** A tree over the squares of the first `leaves` numbers: each call adds two before it, down to one. */
function tree(): Call<number>[] {
  const calls = Array.from({ length: leaves }, (_, n) => call(leaf, [n]))
  for (let at = 0; at + 1 < calls.length; at += 2) calls.push(call(add, [ref(at), ref(at + 1)]))
  return calls
}

test('a graph of 10,000 tasks survives two SIGKILLs, and its result is exact', {
  timeout: 90_000
}, async () => {
  const [first, second, third] = await lab.mesh(3)
  if (first === undefined || second === undefined || third === undefined) expect.unreachable()
  const client = await connect({
    key: lab.key,
    peers: [first, second, third].map((one) => one.address),
    mdns: false
  })
  lab.undo(() => client.close())
  await untilMeshed(client, 3)
  const graph = client.graph(tree())
  graph.catch(() => {})
  await graph.accepted
  const until = (part: number): Promise<unknown> =>
    new Promise((resolve) => {
      const look = ({ done }: { done: number }): void => {
        if (done >= part * leaves) resolve(done)
      }
      graph.onProgress(look)
      look(graph.progress)
    })
  await until(0.2)
  await third.kill()
  const restarted = lab.start('n3', [first])
  await until(0.8)
  expect(graph.progress.done).toBeLessThan(2 * leaves - 1)
  await second.kill()
  const back = await restarted
  const values = await graph
  expect(values.length).toBe(2 * leaves - 1)
  expect(values.at(-1)).toBe(((leaves - 1) * leaves * (2 * leaves - 1)) / 6)
  expect(back.notes.join()).not.toContain('assertion')
})

test('the example says what arithmetic says', { timeout: 60_000 }, async () => {
  const file = fileURLToPath(new URL('../../examples/graph/demo.ts', import.meta.url))
  const demo = fork(file, { env: withBuilt(), stdio: ['ignore', 'pipe', 'ignore', 'ipc'] })
  let text = ''
  demo.stdout?.on('data', (chunk) => {
    text += chunk
  })
  expect(await new Promise((resolve) => demo.once('exit', resolve))).toBe(0)
  expect(JSON.parse(text)).toMatchObject({ calls: 1_024, said: 'the sum is 44726136320' })
})
