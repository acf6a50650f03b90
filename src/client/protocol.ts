/**
 * What a client and its entry say to each other, with the limit of every field.
 *
 * Not here: what the two do about it (session.ts for the client, tasks/entry.ts for the node).
 * Nothing depends on the entry's memory: whatever a client asked for, it can ask of another node again.
 */
import { cellAnswers, cellQuestions } from '../cells/client-messages.ts'
import { isDigest, isJobId, isShardKey } from '../ids.ts'
import { sourceAnswers, sourceQuestions } from '../routing/source-messages.ts'
import type { Batch } from '../tasks/batch.ts'
import {
  batch,
  closedIndex,
  header,
  needs,
  placement,
  shardsMax,
  shardTasksMax,
  words
} from '../tasks/messages.ts'
import { added, bytes, codec, indexes, list, type MessageOf, record, type Type, text, uint } from '../wire.ts'

/** Code of one function with all that it imports. Larger code is refused with SHOAL_BAD_FUNCTION. */
export const codeBytesMax = 8 << 20
/** An answer to a question about the mesh; longer ones are cut by leaving out jobs. */
const answerCharsMax = 4 << 20

/** Keeper lists that an entry tries for one submission; each has an epoch of its own. Then it is refused, SHOAL_NO_KEEPERS. */
export const triesMax = 16

const job = text(64, isJobId)
const key = text(96, isShardKey)
const digest = text(43, isDigest)

/** Those of one shard, in order: a shard that is made of others would be refused by its keepers. */
const inputs: Type<Batch> = {
  check: (value, path) => {
    const found = batch.check(value, path)
    const { indexes } = found
    const isOrdered = indexes.length <= shardTasksMax && indexes.every((index, at) => index === at)
    return isOrdered ? found : batch.check(undefined, `${path} (out of order)`)
  },
  plain: batch.plain,
  ...(batch.parts === undefined ? {} : { parts: batch.parts })
}

const toEntry = {
  code: { digest, bytes: bytes(codeBytesMax) },
  /** Shard `index` of a job. `root` is where shard 0 is, once that is known. `shards` is 0 while more may follow. */
  submit: {
    header,
    index: uint(shardsMax - 1),
    epoch: uint(60_000_000),
    first: uint(0xffffffff),
    shards: uint(shardsMax),
    copies: record({ wanted: uint(15), least: uint(15) }),
    root: list(placement, 1),
    inputs,
    /** Of shards that were acknowledged before. */
    needs: added(list(needs, 1), [])
  },
  close: { root: placement, shards: uint(shardsMax) },
  /** Of a shard that was acknowledged and runs at most once: this placement counts, and no other ever will. */
  start: { placement },
  find: { job },
  follow: { placement, have: indexes(closedIndex + 1) },
  unfollow: { key },
  cancel: { placement },
  /** Some of the tasks of a shard. */
  'cancel-tasks': { placement, indexes: indexes(shardTasksMax) },
  /** `about` is a job for `release`, a task for `explain`, a node for `drain`, else empty. */
  query: { ask: uint(), what: text(32), about: text(128) },
  ...sourceQuestions,
  ...cellQuestions
} as const

const toClient = {
  /** Addresses of nodes to turn to if this one is lost. */
  welcome: { peer: text(128), others: list(text(256), 64) },
  submitted: { job, index: uint(shardsMax - 1), placement, copies: uint(15) },
  refused: { job, index: uint(shardsMax - 1), code: text(32), message: text(1_024) },
  found: { placement, header, shards: uint(shardsMax) },
  absent: { job },
  /** The mesh has forgotten the job; nobody will know it again. */
  released: { job },
  /** What was found of the job does not count any more; another part of it does. */
  superseded: { job },
  results: { key, outcomes: batch },
  /** Of running tasks; it may be lost. */
  said: words,
  answer: { ask: uint(), json: text(answerCharsMax) },
  /** A message of kind `of` could not be read. `about`: its job, the digest of its code, or its number; empty if that is unknown. */
  misread: { of: text(32), about: text(64), code: text(32), message: text(1_024) },
  ...sourceAnswers,
  ...cellAnswers
} as const

export const clientMessages = codec(toEntry)
export const entryMessages = codec(toClient)
/** From a client to its entry. */
export type ClientMessage = MessageOf<typeof toEntry>
/** From an entry to a client. */
export type EntryMessage = MessageOf<typeof toClient>
export type ClientMessageOf<K extends ClientMessage['kind']> = Extract<ClientMessage, { kind: K }>
export type EntryMessageOf<K extends EntryMessage['kind']> = Extract<EntryMessage, { kind: K }>
