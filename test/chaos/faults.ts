/**
 * What happens to the nodes of a chaos run, and when: drawn from the seed, one fault after another, some of them overlapping.
 *
 * Not here: how a node is killed (nodes.ts). The power is cut exactly twice, after one and two thirds of the time, and each other
 * fault comes at least once, after the time if need be.
 * Most faults hit while all others are well, as the promised recovery times ask for; every sixth does not wait for that.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../../src/random.ts'
import type { ChaosMesh, ChaosNode } from './nodes.ts'
import type { Recoveries } from './recovery.ts'

export const powerCuts = 2

export interface Faults {
  kills: number
  pauses: number
  cuts: number
  powerCuts: number
}

export interface FaultOptions {
  readonly mesh: ChaosMesh
  readonly random: Random
  readonly recoveries: Recoveries
  readonly seconds: number
  readonly say: (text: string) => void
}

/** Between two faults, in ms; a restarted node gets the pause on top to find the others. */
const calm = { least: 200, more: 1_000 }
/** A node that listens needs so long to be dialed by all. */
const settleMs = 700
const overlapping = 1 / 6
/** In shorter runs no node is stopped for so long that it is called down. */
const longPausesFromSeconds = 30

/** Resolves when the time is over; some nodes may then still be away. */
export async function inflict(options: FaultOptions): Promise<Faults> {
  const { mesh, random, seconds, say } = options
  const faults: Faults = { kills: 0, pauses: 0, cuts: 0, powerCuts: 0 }
  const from = performance.now()
  const away = new Set<Promise<void>>()
  const isOver = (): boolean => performance.now() - from > seconds * 1_000
  const began = (fault: Promise<void>): void => {
    away.add(fault)
    void fault.finally(() => away.delete(fault))
  }
  while (!isOver() || faults.powerCuts < powerCuts || missing(faults) !== undefined) {
    if (!random.chance(overlapping)) await Promise.all(away)
    await sleep(calm.least + random.next() * calm.more)
    const share = (performance.now() - from) / (seconds * 1_000)
    if (faults.powerCuts < powerCuts && share > (faults.powerCuts + 1) / (powerCuts + 1)) {
      // Those that are away come back first, so that each is started once.
      await Promise.all(away)
      await cutPower(options, faults)
      continue
    }
    const victim = random.pick(mesh.nodes.filter(({ state }) => state === 'up'))
    if (victim === undefined) continue
    const drawn = drawKind(random)
    const kind = (isOver() ? missing(faults) : undefined) ?? drawn
    if (kind === 'kills') began(kill(options, faults, victim))
    else if (kind === 'pauses') began(pause(options, faults, victim))
    else {
      const sockets = await victim.cut()
      if (sockets > 0) faults.cuts++
      say(`${sockets} sockets of ${victim.name} are reset`)
    }
  }
  await Promise.all(away)
  return faults
}

type Kind = 'kills' | 'pauses' | 'cuts'

function drawKind(random: Random): Kind {
  const draw = random.next()
  return draw < 0.6 ? 'kills' : draw < 0.85 ? 'pauses' : 'cuts'
}

/** What did not happen yet: a short run on a slow machine would be over before. */
function missing(faults: Faults): Kind | undefined {
  return (['kills', 'pauses', 'cuts'] as const).find((kind) => faults[kind] === 0)
}

async function kill(
  { mesh, random, recoveries, say }: FaultOptions,
  faults: Faults,
  victim: ChaosNode
): Promise<void> {
  faults.kills++
  const awayMs = 200 + random.next() * 2_000
  const isAlone = mesh.nodes.every(({ state }) => state === 'up')
  recoveries.disturbed()
  const held = await victim.kill()
  recoveries.killed(victim.name, held, isAlone)
  const what = `${held?.ran.length ?? 0} running, ${held?.owned.length ?? 0} owned`
  say(`${victim.name} is killed (${what}${isAlone ? '' : ', others are away'})`)
  await sleep(awayMs)
  await victim.start()
  await sleep(settleMs)
}

async function pause(
  { random, recoveries, seconds, say }: FaultOptions,
  faults: Faults,
  victim: ChaosNode
): Promise<void> {
  faults.pauses++
  const isLong = random.chance(0.3) && seconds >= longPausesFromSeconds
  const pauseMs = isLong ? 5_000 + random.next() * 5_000 : 100 + random.next() * 3_000
  say(`${victim.name} is stopped for ${Math.round(pauseMs)} ms`)
  recoveries.disturbed()
  victim.stop()
  await sleep(pauseMs)
  victim.continue()
  await sleep(settleMs)
}

async function cutPower({ mesh, random, recoveries, say }: FaultOptions, faults: Faults): Promise<void> {
  faults.powerCuts++
  recoveries.disturbed()
  const awayMs = 200 + random.next() * 1_500
  for (const node of mesh.nodes) node.cutPower()
  say(`power cut ${faults.powerCuts}: all ${mesh.nodes.length} nodes are killed`)
  await sleep(awayMs)
  await mesh.heal()
  say('all nodes listen again')
  await sleep(settleMs)
}
