/**
 * Shards that are found by their jobs.
 *
 * Not here: what is done with them (many.test.ts: that it takes no longer where there are many).
 */
import { expect, test } from 'vitest'
import { type JobId, type ShardKey, shardKey } from '../../src/ids.ts'
import { seededRandom } from '../../src/random.ts'
import { type Forgettable, keysOf } from '../../src/tasks/messages.ts'
import { ShardMap } from '../../src/tasks/shard-map.ts'

test('what a name covers is found among all that is there, and nothing else', () => {
  const random = seededRandom(1)
  const map = new ShardMap<number>()
  const job = (): JobId => `job-0000000${random.below(4)}` as JobId
  const key = (): ShardKey => shardKey(job(), random.below(3), random.below(3))
  for (let step = 0; step < 3_000; step++) {
    if (random.below(3) > 0) map.set(key(), step)
    else map.delete(key())
    if (step % 1_000 === 999) map.clear()
    const name: Forgettable = step % 2 === 0 ? job() : key()
    expect(map.covered(name).sort()).toEqual(keysOf(name, map.keys()).sort())
  }
})
