/**
 * The first client: submits one task per file, and reads the results as they come, whatever happens to its entry.
 *
 * Not here: nodes, and killing them (demo.ts starts this as a process of its own).
 * It tells its parent the job's id and its entry, its progress, and at the end what it received.
 */
import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { connect, moduleFunction } from '../../src/index.ts'
import { inputFiles } from './files.ts'
import type { Text } from './words.ts'

/** From the first client to the demo. */
export type Report =
  | { kind: 'began'; job: string; tasks: number; entry: string; owned: (readonly [string, number])[] }
  | { kind: 'progress'; done: number }
  | { kind: 'finished'; done: number; words: number; duplicates: number; arrivals: number[] }

const leave = (): never => process.exit(1)
// Who would hear of it is gone.
process.once('disconnect', leave)
const tell = (report: Report): void => void process.send?.(report, undefined, undefined, () => {})

/** Read as they are pulled: never are all texts in memory. */
function* texts(files: readonly string[]): Generator<Text> {
  for (const name of files) yield { name, packed: gzipSync(readFileSync(name)) }
}

const peers = process.argv.slice(2)
const files = inputFiles()
const submitter = await connect({ peers })
const submitted = submitter.map<Map<string, number>>(
  moduleFunction(new URL('./words.ts', import.meta.url), 'countWords'),
  texts(files),
  { name: 'word count' }
)
await submitted.accepted

// From here on the job needs nobody. This client goes where it hurts most: to the node that owns most of what is left.
const { nodes } = await submitter.status()
const entry = nodes.reduce((most, node) => (node.unfinished > most.unfinished ? node : most))
submitted.catch(() => {})
await submitter.close()
const first = peers.filter((peer) => peer.endsWith(entry.id))
await using mesh = await connect({ peers: [...first, ...peers] })
const owned = nodes.map(({ id, unfinished }) => [id, unfinished] as const)
tell({ kind: 'began', job: submitted.id, tasks: files.length, entry: entry.id, owned })

const seen = new Set<number>()
const arrivals: number[] = []
let words = 0
let duplicates = 0
for await (const completed of mesh.job<Map<string, number>>(submitted.id).asCompleted()) {
  if (completed.error !== undefined) throw completed.error
  if (seen.has(completed.index)) duplicates++
  seen.add(completed.index)
  for (const count of completed.value.values()) words += count
  arrivals.push(Date.now())
  tell({ kind: 'progress', done: seen.size })
}
const finished: Report = { kind: 'finished', done: seen.size, words, duplicates, arrivals }
// What was told before is on its way; to disconnect at once would drop it.
process.send?.(finished, undefined, undefined, () => {
  process.off('disconnect', leave)
  process.disconnect()
})
