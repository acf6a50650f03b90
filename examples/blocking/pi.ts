/**
 * A script that blocks: no await, no promise, no callback. It throws darts at a circle on all engines of the mesh.
 *
 * Not here: a mesh. It takes the one of $SHOAL_KEY and $SHOAL_PEERS, or one on this machine.
 */
import { connectSync } from '../../src/client/sync/sync.ts'

const dartsPerTask = 200_000
const tasks = 50

/** How many of so many darts hit; every seed is another stream of numbers (mulberry32). */
function hits({ seed, darts }: { seed: number; darts: number }): number {
  let state = seed
  const random = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  let hit = 0
  for (let i = 0; i < darts; i++) if (random() ** 2 + random() ** 2 < 1) hit++
  return hit
}

using mesh = connectSync()
const throws = Array.from({ length: tasks }, (_, i) => ({ seed: i + 1, darts: dartsPerTask }))
let hit = 0
let thrown = 0
// Results come while later ones are still computed.
for (const some of mesh.imap(hits, throws)) {
  hit += some
  thrown += dartsPerTask
  if (thrown % (10 * dartsPerTask) === 0) console.log(`${thrown} darts: ${((4 * hit) / thrown).toFixed(4)}`)
}
