/**
 * What a session knows of one job: its shards, and how far each of them is.
 *
 * Not here: what is done about it (session.ts). A shard begins as inputs, becomes a place in the mesh, and ends as outcomes.
 */
import type { JobId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import type { Batch } from '../tasks/batch.ts'
import type { JobHeader, Placement } from '../tasks/messages.ts'

export interface Copies {
  readonly wanted: number
  readonly least: number
}

export interface Shard {
  readonly index: number
  readonly first: number
  readonly count: number
  /** Gone once acknowledged. */
  inputs: Batch | undefined
  epoch: number
  state: 'new' | 'sent' | 'placed' | 'complete'
  placement: Placement | undefined
  readonly has: Set<number>
  retryAt: Millis
}

export interface Job {
  readonly id: JobId
  readonly copies: Copies
  readonly isOwn: boolean
  header: JobHeader | undefined
  shards: Shard[]
  /** Number of shards, once no more can come; 0 before. */
  total: number
  isCloseSent: boolean
  /** The job's register says how many shards there are, or will as soon as shard 0 is stored. */
  isClosed: boolean
  isCancelled: boolean
  isComplete: boolean
}

export const newJob = (id: JobId, copies: Copies, isOwn: boolean, header: JobHeader | undefined): Job => ({
  id,
  copies,
  isOwn,
  header,
  shards: [],
  total: 0,
  isCloseSent: false,
  isClosed: false,
  isCancelled: false,
  isComplete: false
})

export const newShard = (index: number, first: number, count: number, inputs: Batch | undefined): Shard => ({
  index,
  first,
  count,
  inputs,
  epoch: 0,
  state: 'new',
  placement: undefined,
  has: new Set(),
  retryAt: 0
})
