/**
 * What a core is told when it is made, and how much it keeps.
 *
 * Not here: options of people, and their checks (options.ts).
 */
import type { ClientId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import type { Random } from '../random.ts'
import type { Reach } from '../routing/links.ts'
import type { Member } from '../routing/messages.ts'

/** Longer than a restart of a machine's services, shorter than a second failure is likely to wait. */
export const keeperReplaceAfterMs = 30_000
/** What a node keeps at most: bytes of inputs and outcomes, shards, and bytes of data. Beyond it, work goes to other keepers. */
export interface Quota {
  readonly bytes: number
  readonly shards: number
  readonly data: number
}
export const defaultQuota: Quota = { bytes: 1 << 30, shards: 1_000_000, data: 16 * 2 ** 30 }
/** A full node takes more once it keeps less than this part of its quota. */
export const refillBelow = 0.9

export interface CoreOptions {
  readonly me: Member
  readonly random: Random
  readonly now: Millis
  /** A keeper that is down for so long is replaced; default `keeperReplaceAfterMs`. */
  readonly replaceAfterMs?: Millis | undefined
  /** Of keeper.ts; smaller in the simulator, whose tasks take little. */
  readonly rewriteAboveBytes?: number
  /** Of shelf.ts; smaller in the simulator, whose nodes keep little. */
  readonly openShardsMax?: number
  /** Default `defaultQuota`. */
  readonly quota?: Quota | undefined
  /** Why this node keeps nothing, if its disk is not sound. */
  readonly disk?: string | undefined
  /** So long it does not take itself for the only node there is, unless it has met another one; default 0. */
  readonly meetsWithinMs?: Millis
  /** From how many members on streams are held with some only; default `usualReach`. */
  readonly reach?: Reach | undefined
  /** Bytes that a client can be told now; default: any number. */
  readonly room?: (client: ClientId) => number
}
