/**
 * A lab goes home at six o'clock: twenty of thirty machines are switched off at once.
 *
 * Not here: single keepers that are lost (every seed has some). What is still safe is made as safe as before, once, and few
 * pieces of it are under way at any time.
 */
import { expect, test } from 'vitest'
import type { PeerId, ShardKey } from '../../src/ids.ts'
import type { ShardRecord } from '../../src/tasks/messages.ts'
import { changesAtOnce } from '../../src/tasks/repair.ts'
import { host, planOf } from './by-hand.ts'
import { type JobPlan, PLAIN_JOB, type Plan } from './plan.ts'
import { World } from './world.ts'

const names = Array.from({ length: 30 }, (_, i) => `host${'abcdefghijkmnopqrstuvwxyzABCDE'[i]}`)
const leaving = names.slice(10)
const sixOClock = 15_000
const replaceAfterMs = 10_000
const troubleMs = sixOClock + replaceAfterMs + 30_000

const job = (at: number): JobPlan => ({ ...PLAIN_JOB, at, shards: new Array(30).fill(2) })
const plan: Plan = {
  ...planOf(
    names.map((name) => host(name)),
    Array.from({ length: 10 }, (_, i) => job(1_000 + i * 500)),
    troubleMs,
    leaving.map((pick) => ({
      at: sixOClock,
      act: { kind: 'crash', pick, disk: 'synced', isSilent: false, backAfter: undefined }
    }))
  ),
  replaceAfterMs
}

// A minute of thirty machines takes 6 s of a processor, of which a busy machine gives a small part.
test('twenty machines leave at once: what can be is kept three times again, each shard moves once, few at a time', () => {
  const before = new Map<ShardKey, ShardRecord>()
  const after = new Map<ShardKey, { record: ShardRecord; copies: number }>()
  let most = 0
  let beganAt = Number.POSITIVE_INFINITY
  let repairedAt = 0
  let world: World | undefined
  const look = (at: number): void => {
    for (const { core } of world?.nodes ?? []) {
      if (core === undefined) continue
      most = Math.max(most, core.owner.repairs.changes.now)
      if (at <= sixOClock || at >= troubleMs || core.owner.repairs.changes.now === 0) continue
      beganAt = Math.min(beganAt, at)
      repairedAt = at
    }
  }
  const remember = (into: (record: ShardRecord) => void): void => {
    for (const { core } of world?.nodes ?? [])
      for (const key of core?.keeper.keys() ?? []) into(core?.keeper.record(key) as ShardRecord)
  }
  let looked = 0
  world = new World(1, {
    plan,
    onNote: () => {},
    onStep: (at) => {
      if (at >= looked) {
        looked = at + 20
        look(at)
      }
      if (before.size === 0 && at > sixOClock - 500) remember((record) => before.set(record.key, record))
      if (after.size > 0 || at < troubleMs - 500) return
      remember((record) => {
        const known = after.get(record.key)
        const isNewer = known === undefined || record.list > known.record.list
        const copies = (known?.record.list === record.list ? known.copies : 0) + 1
        after.set(record.key, isNewer ? { record, copies: 1 } : { record: known.record, copies })
      })
    }
  })
  world.run()
  const gone = new Set(leaving)
  const lostOf = (key: ShardKey): number =>
    before.get(key)?.keepers.filter((peer: PeerId) => gone.has(peer)).length ?? 0
  const safe = [...before.keys()].filter((key) => lostOf(key) <= 1)
  const short = safe.filter((key) => lostOf(key) === 1)
  expect(before.size).toBeGreaterThan(250)
  expect(short.length).toBeGreaterThan(30)
  for (const key of safe) {
    const now = after.get(key)
    expect(now?.copies, key).toBe(3)
    expect(
      now?.record.keepers.filter((peer) => gone.has(peer)),
      key
    ).toEqual([])
    expect(now?.record.list, key).toBe(lostOf(key))
  }
  expect(most).toBeLessThanOrEqual(changesAtOnce)
  // None before its time, and all soon after.
  expect(beganAt).toBeGreaterThan(sixOClock + replaceAfterMs)
  expect(repairedAt).toBeLessThan(sixOClock + replaceAfterMs + 20_000)
}, 180_000)
