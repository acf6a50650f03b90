/**
 * What does a mesh cost that has nothing to do, and how soon can a node of it begin? Memory, processor time, cold start.
 *
 * Not here: what work costs (overhead.ts).
 * Whoever leaves a node running on a laptop pays this all day, so it must be next to nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, median, type Question, round, type Settings, sum } from './measure.ts'
import { coldStartMs, startMesh } from './nodes.ts'

const nodeCount = 3
const slots = 2
const windows = 3
const windowMs = 20_000
/** What joining set off, the garbage of starting for one, is over by then. */
const settleMs = 5_000
const coldStarts = 5
const MIB = 2 ** 20
const budget = { rssMiBMax: 150, cpuPercentMax: 2 }

export const idle: Question = {
  name: 'idle',
  asks: `What do ${nodeCount} nodes cost that have nothing to do, and how soon has a new one its first result?`,
  answer
}

async function answer({ say }: Settings): Promise<Answer> {
  const starts: number[] = []
  for (let at = 0; at < coldStarts; at++) starts.push(await coldStartMs())
  say(`cold starts: ${starts.map((ms) => round(ms)).join(', ')} ms`)
  await using mesh = await startMesh(Array.from({ length: nodeCount }, () => slots))
  await sleep(settleMs)
  const cpu: { all: number; most: number }[] = []
  const rss: number[] = []
  for (let at = 0; at < windows; at++) {
    const before = await Promise.all(mesh.nodes.map((node) => node.usage()))
    const start = performance.now()
    await sleep(windowMs)
    const after = await Promise.all(mesh.nodes.map((node) => node.usage()))
    const micros = (performance.now() - start) * 1_000
    const percents = after.map((used, of) => ((used.cpuMicros - (before[of]?.cpuMicros ?? 0)) / micros) * 100)
    cpu.push({ all: sum(percents), most: Math.max(...percents) })
    rss.push(Math.max(...after.map(({ rssBytes }) => rssBytes / MIB)))
    say(`window ${at + 1}: ${percents.map((one) => round(one, 2)).join(', ')} % of a core`)
  }
  const rssMiB = round(median(rss), 1)
  const cpuPercent = round(median(cpu.map(({ all }) => all)), 2)
  return {
    question: 'idle',
    nodes: nodeCount,
    slots,
    rssMiB,
    cpuPercent,
    cpuPercentPerNodeMax: round(median(cpu.map(({ most }) => most)), 2),
    coldStartMs: round(median(starts)),
    budget,
    ok: rssMiB < budget.rssMiBMax && cpuPercent < budget.cpuPercentMax
  }
}
