/**
 * An app with a node inside, for the integration tests: it submits a job and then computes, so that its thread does nothing else.
 *
 * Not here: any expectation. It says on stdout what happens, one JSON object a line, and ends when its stdin does.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { createNode, readKey } from '../../src/index.ts'

const { key, computes, tasks, takes, ...options } = JSON.parse(process.argv[2] ?? '{}')
const say = (what: object): void => console.log(JSON.stringify(what))

await using node = await createNode({
  ...options,
  listen: ['/ip4/127.0.0.1/tcp/0'],
  mdns: false,
  key: await readKey(key),
  onNote: (text) => console.error(text)
})
say({ id: node.id, address: node.addresses[0] })
while ((await node.client.members()).length < options.peers.length + 1) await sleep(20)
const inputs = Array.from({ length: tasks }, (_, i) => ({ i, takes }))
const job = node.client.map(async ({ i, takes }) => {
  await new Promise((resolve) => setTimeout(resolve, takes))
  return 3 * i
}, inputs)
await job.accepted
say({ job: job.id })
const end = performance.now() + computes
let sum = 0
while (performance.now() < end) sum += Math.sqrt(sum + 1)
const from = performance.now()
const results = await job
say({ took: performance.now() - from, isRight: results.every((result, i) => result === 3 * i), sum })
const engines = inputs.map((_, i) => job.metadata(i)?.engine.split('/')[0])
say({ ranHere: engines.filter((engine) => engine === node.id).length })
for await (const _ of process.stdin);
say({ ends: true })
