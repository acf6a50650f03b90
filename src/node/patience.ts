/**
 * How long messages and records may wait for others: a packet costs more than what is in it, and so does a sync.
 *
 * Not here: the waiting (outbox.ts, driver.ts). Nothing waits that somebody else is waiting for, except when the wait is
 * shorter than what it saves: a shard of one short task is stored together with its outcome, by one write and one answer.
 */
import type { Millis } from '../machine.ts'
import type { ShardRecord } from '../tasks/messages.ts'
import type { DiskRecord } from './effects.ts'
import type { PeerMessage } from './messages.ts'

/** For what only lets the other end forget. */
const forgettingMs = 20
/** For the storing of a job so small that its outcomes may be here by then; longer tasks are acknowledged later by as much. */
const briefMs = 2
const briefTasksMax = 4

const isBrief = ({ shards, count }: ShardRecord): boolean => shards === 1 && count <= briefTasksMax

/** 0 = leaves with the end of this turn. */
export function messagePatience(message: PeerMessage): Millis {
  switch (message.kind) {
    case 'confirm':
      return forgettingMs
    case 'claim':
      // The outcomes of what runs are about to leave.
      return briefMs
    case 'store':
      return isBrief(message.record) ? briefMs : 0
    default:
      return 0
  }
}

/** 0 = written with the end of this turn. */
export function recordPatience(message: DiskRecord | undefined): Millis {
  return message?.kind === 'store' && isBrief(message.record) ? briefMs : 0
}
