/**
 * Who is told to forget a job that was released, and when.
 *
 * Not here: what forgetting removes (many.test.ts), and nodes that come back in a whole mesh (sim/absent.test.ts).
 */
import { expect, test } from 'vitest'
import type { ClientId, JobId, PeerId } from '../../src/ids.ts'
import type { Millis } from '../../src/machine.ts'
import type { Send } from '../../src/tasks/effects.ts'
import { Release } from '../../src/tasks/release.ts'

const [self, ann, ben] = ['self', 'ann', 'ben'] as [PeerId, PeerId, PeerId]
const client = 'client' as ClientId
const jobOf = (at: number): JobId => `job-${String(at).padStart(8, '0')}` as JobId

/** Of a mesh in which `ben` is away. */
class Releasing {
  readonly #up = [ann]
  readonly release = new Release({ self, peers: () => this.#up, everybody: () => [self, ann, ben] })
  readonly told: { to: PeerId; name: string }[] = []

  hears(sends: readonly Send[]): number {
    for (const { to, message } of sends)
      if (message.kind === 'forget') this.told.push({ to, name: message.name })
    return sends.length
  }

  /** All is answered by whom it was said to. Returns what clients are told. */
  answers(now: Millis, from: readonly PeerId[] = [self, ann, ben]) {
    return this.told.splice(0).flatMap(({ to, name }) => {
      if (!from.includes(to)) return []
      const { effects, released } = this.release.forgotten(to, name as JobId, now)
      this.hears(effects)
      return released
    })
  }

  releases(count: number, now = 0): void {
    for (let at = 0; at < count; at++) this.hears(this.release.release(client, at, jobOf(at), now))
  }

  back(now: Millis): number {
    this.#up.push(ben)
    return this.hears(this.release.peerUp(ben, now))
  }
}

test('who is back is told some at a time of all that was released meanwhile, and of nothing twice', () => {
  const mesh = new Releasing()
  mesh.releases(1_000)
  expect(mesh.answers(0)).toHaveLength(1_000)
  const heard: string[] = []
  for (let told = mesh.back(10); told > 0; told = mesh.told.length) {
    expect(told).toBeLessThanOrEqual(64)
    heard.push(...mesh.told.map(({ name }) => name))
    mesh.answers(20)
  }
  expect(heard).toEqual(Array.from({ length: 1_000 }, (_, at) => jobOf(at)))
  expect(mesh.release.wakeAt()).toBe(undefined)
  expect(mesh.release.peerUp(ben, 30)).toEqual([])
})

test('who is back and does not answer is told again of the same, then of the rest, and of all when it is back once more', () => {
  const mesh = new Releasing()
  mesh.releases(100)
  mesh.answers(0)
  mesh.back(10)
  const heard = new Map<string, number>()
  for (let now = 10; ; now = mesh.release.wakeAt() ?? 0) {
    mesh.hears(mesh.release.wake(now).effects)
    for (const { name } of mesh.told.splice(0)) heard.set(name, (heard.get(name) ?? 0) + 1)
    if (mesh.release.wakeAt() === undefined) break
  }
  expect(heard.size).toBe(100)
  expect(Math.max(...heard.values())).toBe(5)
  mesh.release.peerDown(ben)
  expect(mesh.release.peerUp(ben, 60_000)).toHaveLength(64)
  // It goes in the middle of that.
  mesh.release.peerDown(ben)
  expect(mesh.release.wakeAt()).toBe(undefined)
})

test('who releases a job again hears when all have forgotten it, also while one that is back is told of it', () => {
  const mesh = new Releasing()
  mesh.releases(1)
  mesh.answers(0, [self])
  expect(mesh.release.wake(6_000).released).toMatchObject([{ silent: 1 }])
  mesh.back(7_000)
  mesh.releases(1, 7_100)
  expect(mesh.answers(7_200, [self, ben])).toEqual([])
  mesh.hears(mesh.release.wake(8_200).effects)
  expect(mesh.answers(8_300)).toEqual([{ client, ask: 0, silent: 0 }])
})
