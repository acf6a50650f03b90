/**
 * What does blocking cost? The same calls by the asynchronous and the blocking client, turn and turn about.
 *
 * Not here: what a task costs in itself (latency.ts).
 * A call that asks the entry only shows the price most clearly; a task is what people wait for.
 */
import { connectSync, type SyncClient } from '../src/client/sync/sync.ts'
import { type Client, connect } from '../src/index.ts'
import { type Answer, median, percentile, type Question, round, type Settings, timed } from './measure.ts'
import { startMesh } from './nodes.ts'

const calls = 500
const rounds = 3
const budget = { moreMsMax: 0.5 }

export const blocking: Question = {
  name: 'blocking',
  asks: `How much longer than the asynchronous client does the blocking one take for a call?`,
  answer
}

async function answer({ say }: Settings): Promise<Answer> {
  await using mesh = await startMesh([1, 1, 1])
  const { key, nodes } = mesh
  const options = { key, peers: nodes[0]?.addresses ?? [], mdns: false }
  await using client = await connect(options)
  using sync = connectSync(options)
  const found: Measured[] = []
  // The first round warms up.
  for (let at = 0; at <= rounds; at++) {
    const measured = await measure(client, sync)
    if (at > 0) found.push(measured)
    say(`round ${at}: ${JSON.stringify(measured)}`)
  }
  const of = (name: keyof Measured): number => round(median(found.map((one) => one[name])), 3)
  const moreMs = round(median(found.map(({ task, blockingTask }) => blockingTask - task)), 3)
  return {
    question: 'blocking',
    calls,
    rounds,
    taskP50Ms: of('task'),
    blockingTaskP50Ms: of('blockingTask'),
    membersP50Ms: of('members'),
    blockingMembersP50Ms: of('blockingMembers'),
    moreMs,
    budget,
    ok: moreMs <= budget.moreMsMax
  }
}

interface Measured {
  readonly task: number
  readonly blockingTask: number
  readonly members: number
  readonly blockingMembers: number
}

const same = (input: number): number => input

async function measure(client: Client, sync: SyncClient): Promise<Measured> {
  const samples = { task: [] as number[], blockingTask: [] as number[] }
  const asks = { members: [] as number[], blockingMembers: [] as number[] }
  // In turn, so that a machine that slows down slows both.
  for (let at = 0; at < calls; at++) {
    samples.task.push((await timed(async () => await client.submit(same, [at]))).ms)
    samples.blockingTask.push((await timed(async () => sync.submit(same, [at]))).ms)
    asks.members.push((await timed(() => client.members())).ms)
    asks.blockingMembers.push((await timed(async () => sync.members())).ms)
  }
  const p50 = (all: readonly number[]): number => percentile([...all], 0.5)
  return {
    task: p50(samples.task),
    blockingTask: p50(samples.blockingTask),
    members: p50(asks.members),
    blockingMembers: p50(asks.blockingMembers)
  }
}
