/**
 * Does a mesh get its memory and its disk back? A million tasks come and go in batches, each released once it is read.
 *
 * Not here: what idling costs (idle.ts). The first batch counts as warming up: code is compiled, pools and stores have
 * grown to their size. Garbage is collected before each look, so that only what is held counts.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../src/index.ts'
import { type Answer, type Question, round, type Settings } from './measure.ts'
import { startMesh } from './nodes.ts'

const batches = 20
const batchTasks = 50_000
/** A store tidies up in the background. */
const quietMs = 3_000
const MIB = 2 ** 20
const budget = { heapGrowthMiBMax: 16, diskMiBMax: 64, keptMax: 0 }

export const memory: Question = {
  name: 'memory',
  asks: `What is left in three nodes of ${(batches * batchTasks).toLocaleString('en')} tasks that came and went?`,
  answer
}

async function answer({ say }: Settings): Promise<Answer> {
  await using mesh = await startMesh([1, 1, 1])
  await using client = await connect({ key: mesh.key, peers: mesh.nodes[0]?.addresses ?? [], mdns: false })
  const looks: { heap: number; rss: number; disk: number }[] = []
  for (let batch = 0; batch < batches; batch++) {
    const inputs = Array.from({ length: batchTasks }, (_, at) => at)
    const job = client.map((n: number) => n + 1, inputs)
    const results = await job
    if (results[batchTasks - 1] !== batchTasks) throw new Error('a wrong result')
    await job.release()
    if (batch > 0 && batch < batches - 1) continue
    await sleep(quietMs)
    const all = await Promise.all(mesh.nodes.map((node) => node.held()))
    const most = (pick: (one: (typeof all)[number]) => number): number => Math.max(...all.map(pick)) / MIB
    looks.push({
      heap: most(({ heapBytes }) => heapBytes),
      rss: most(({ rssBytes }) => rssBytes),
      disk: most(({ diskBytes }) => diskBytes)
    })
    say(`after batch ${batch + 1}: ${JSON.stringify(looks.at(-1))}`)
  }
  const { nodes } = await client.status()
  const kept = Math.max(...nodes.map(({ keeps }) => keeps))
  const [first, last] = [looks[0], looks.at(-1)]
  const heapGrowthMiB = round((last?.heap ?? 0) - (first?.heap ?? 0), 1)
  const diskMiB = round(last?.disk ?? 0, 1)
  return {
    question: 'memory',
    tasks: batches * batchTasks,
    batches,
    heapMiB: [round(first?.heap ?? 0, 1), round(last?.heap ?? 0, 1)],
    heapGrowthMiB,
    rssMiB: [round(first?.rss ?? 0), round(last?.rss ?? 0)],
    diskMiB,
    kept,
    tombstones: Math.max(...nodes.map(({ tombstones }) => tombstones)),
    budget,
    ok: heapGrowthMiB <= budget.heapGrowthMiBMax && diskMiB <= budget.diskMiBMax && kept <= budget.keptMax
  }
}
