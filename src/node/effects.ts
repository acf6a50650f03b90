/**
 * What goes into a node's core, and what it asks of the world.
 *
 * Not here: what the core makes of it (core.ts), and how it is done (driver.ts, or the simulator).
 * All of it is plain data, so that a world can record it, delay it, or lose it.
 */
import type { CellPersist } from '../cells/effects.ts'
import type { CellRecord } from '../cells/messages.ts'
import type { ClientMessage } from '../client/protocol.ts'
import type { DataEffect } from '../data/effects.ts'
import type { ClientId, PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import type { Attendance, CancelRun, Persist, RecallRun, Run } from '../tasks/effects.ts'
import type { EngineOrder } from '../tasks/engine-orders.ts'
import type { TaskMessage } from '../tasks/messages.ts'
import type { RunNews } from '../tasks/runs.ts'
import type { Reply } from '../tasks/submission.ts'
import type { GossipMessage, PeerMessage } from './messages.ts'
import type { SourceInput } from './sources.ts'
import type { DataInput } from './stock.ts'

/** What a disk holds. */
export type DiskRecord = TaskMessage | CellRecord

export type CoreInput =
  /** Records of the store, in order of writing, some at a time; and that these were all. First inputs after a restart. */
  | { kind: 'restoring'; records: Iterable<DiskRecord> }
  | { kind: 'restored' }
  | { kind: 'peer-found'; peer: PeerId; addresses: readonly string[] }
  | { kind: 'peer-connected'; peer: PeerId; addresses: readonly string[] }
  | { kind: 'peer-disconnected'; peer: PeerId }
  | { kind: 'received'; from: PeerId; messages: readonly PeerMessage[] }
  | { kind: 'gossiped'; from: PeerId; message: GossipMessage }
  | { kind: 'client-connected'; client: ClientId }
  | { kind: 'client-disconnected'; client: ClientId }
  | { kind: 'client-said'; client: ClientId; messages: readonly ClientMessage[] }
  /** Everything persisted up to this number is on disk. */
  | { kind: 'persisted'; upTo: number }
  | { kind: 'persist-failed'; reason: string }
  | RunNews
  | { kind: 'addresses-changed'; addresses: readonly string[] }
  | { kind: 'slowed'; delayMs: Millis }
  | ({ kind: 'availability-changed' } & Attendance)
  /** Hands over what it has and takes nothing new. What runs may finish, or is given back too. */
  | { kind: 'leave'; runs: 'finish' | 'give back' }
  | SourceInput
  | DataInput
  | { kind: 'wake' }

export type CoreEffect =
  | { kind: 'send'; to: PeerId; message: PeerMessage }
  | Reply
  | ((Persist | CellPersist) & { id: number })
  | Run
  | CancelRun
  | RecallRun
  /** There is room for one item more. */
  | { kind: 'pull-source'; name: string }
  | Exclude<DataEffect, { kind: 'send' }>
  | { kind: 'dial'; peer: PeerId; addresses: readonly string[] }
  /** Idle: both ends will dial again when they have something to say. */
  | { kind: 'drop-peer'; peer: PeerId; because: 'silent' | 'idle' }
  | { kind: 'publish'; message: GossipMessage }
  /** Somebody who holds the key wants this node to hand over and stop. */
  | { kind: 'asked-to-leave' }
  /** The same for an engine in this slot. */
  | { kind: 'order-engine'; slot: number; order: EngineOrder }
  /** For people. */
  | { kind: 'note'; text: string }
