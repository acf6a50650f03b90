/**
 * A graph: a sum over many numbers by a tree of small tasks, whose values never come here, and a report after it.
 *
 * Not here: nodes that are lost meanwhile (test/integration/graphs.test.ts does that to a graph like this one).
 * Run it with `node examples/graph/demo.ts`: three nodes in this process, and what one line of arithmetic says beside it.
 */
import { type Call, call, createKey, createNode, ref } from '../../src/index.ts'

const leaves = 512
const sumOfSquares = (from: number, to: number): number => {
  let sum = 0
  for (let n = from; n < to; n++) sum += n * n
  return sum
}
const add = (left: number, right: number): number => left + right
const report = (sum: number): string => `the sum is ${sum}`

/** Calls by their place in the list: leaves first, then each level above, then what is said of it. */
function tree(): Call<number | string>[] {
  const calls: Call<number | string>[] = []
  let level: number[] = []
  for (let leaf = 0; leaf < leaves; leaf++)
    level.push(calls.push(call(sumOfSquares, [leaf * 10, leaf * 10 + 10])) - 1)
  while (level.length > 1) {
    const above: number[] = []
    for (let at = 0; at + 1 < level.length; at += 2)
      above.push(calls.push(call(add, [ref(level[at] as number), ref(level[at + 1] as number)])) - 1)
    level = above
  }
  calls.push(call(report, [ref(level[0] as number)]))
  return calls
}

const key = createKey()
const options = { key, slots: 1, mdns: false, listen: ['/ip4/127.0.0.1/tcp/0'] }
const first = await createNode(options)
const others = await Promise.all([1, 2].map(() => createNode({ ...options, peers: first.addresses })))
try {
  const values = await first.client.graph(tree(), { name: 'sum of squares' })
  const n = leaves * 10 - 1
  const expected = (n * (n + 1) * (2 * n + 1)) / 6
  console.log(JSON.stringify({ calls: values.length, said: values.at(-1), expected }))
  process.exitCode = values.at(-1) === `the sum is ${expected}` ? 0 : 1
} finally {
  await Promise.all([first, ...others].map((node) => node.stop()))
}
