/**
 * The record of a shard that one node keeps, whose tasks have inputs of a byte.
 *
 * Not here: any expectation. A test says only what it is about.
 */
import type { PeerId, ShardKey } from '../../src/ids.ts'
import { pack } from '../../src/tasks/batch.ts'
import { firstSeating } from '../../src/tasks/keepers.ts'
import type { ShardRecord } from '../../src/tasks/messages.ts'
import { headerOf } from './header.ts'

export const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

export const recordOf = (keeper: PeerId, count: number, more: Partial<ShardRecord> = {}): ShardRecord => ({
  key: 'abcdefgh/0/0' as ShardKey,
  ...firstSeating([keeper]),
  copies: 1,
  header: headerOf(),
  first: 0,
  count,
  shards: 1,
  inputs: pack('', upTo(count), new Array(count).fill(new Uint8Array(1))),
  root: [],
  needs: [],
  ...more
})
