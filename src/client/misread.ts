/**
 * Reads what a client said, once, at the edge of its entry; of what cannot be read it makes the answer.
 *
 * Not here: who is told so, and when that is too often (node/driver.ts, node/guests.ts, hosted/porter.ts), and what the client
 * makes of it (session.ts). Calls and questions fail by the answers that they have for that; other words by `misread`.
 */
import { isCellQuestion } from '../cells/client-messages.ts'
import { explainError } from '../errors.ts'
import { type ShardKey, shardName } from '../ids.ts'
import { isSourceQuestion } from '../routing/source-messages.ts'
import { UnreadableError } from '../wire.ts'
import { type ClientMessage, clientMessages, type EntryMessage } from './protocol.ts'

/** Messages of one connection that cannot be read: these are answered; then it is closed, in good order. */
export const misreadMax = 100

export interface Said {
  readonly messages: ClientMessage[]
  /** One for each message that cannot be read, up to `misreadMax`. */
  readonly answers: EntryMessage[]
  /** Messages that cannot be read. */
  readonly misread: number
  /** What was wrong with the first of them; for people. */
  readonly reason: string
}

/** Never throws. */
export function readSaid(parts: readonly Uint8Array[]): Said {
  const messages: ClientMessage[] = []
  const answers: EntryMessage[] = []
  let misread = 0
  let reason = ''
  for (const part of parts) {
    try {
      messages.push(clientMessages.parse(part))
    } catch (error) {
      if (misread++ === 0) reason = explainError(error)
      if (answers.length < misreadMax) answers.push(answerTo(error))
    }
  }
  return { messages, answers, misread, reason }
}

function answerTo(error: unknown): EntryMessage {
  const unreadable = error instanceof UnreadableError ? error : new UnreadableError(explainError(error), '')
  const { kind, fields } = unreadable
  const { ask, job, key, digest } = fields
  const words = { code: unreadable.code, message: unreadable.message.slice(0, 512) }
  if (typeof ask === 'number') {
    if (isCellQuestion({ kind })) return { kind: 'undecided', ask, ...words }
    if (isSourceQuestion({ kind })) return { kind: 'source-ended', ask, ...words }
  }
  const shard = typeof key === 'string' ? shardName(key as ShardKey).job : undefined
  const about = job ?? shard ?? digest ?? ask ?? ''
  return { kind: 'misread', of: kind, about: String(about), ...words }
}
