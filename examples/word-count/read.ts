/**
 * The second client: knows nothing but the job's id, and reads all results from the mesh.
 *
 * Not here: any part in making them. It attaches to another node than the first client did, after that one has gone.
 */
import { connect } from '../../src/index.ts'

/** From the second client to the demo: words in order of first appearance, with their counts. */
export interface Reading {
  readonly results: number
  readonly totals: readonly (readonly [string, number])[]
}

const [job = '', ...peers] = process.argv.slice(2)
await using mesh = await connect({ peers })
const totals = new Map<string, number>()
let results = 0
for await (const counts of mesh.job<Map<string, number>>(job)) {
  results++
  for (const [word, count] of counts) totals.set(word, (totals.get(word) ?? 0) + count)
}
const reading: Reading = { results, totals: [...totals] }
process.send?.(reading, undefined, undefined, () => process.disconnect())
