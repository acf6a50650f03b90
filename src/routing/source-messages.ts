/**
 * What readers of a live stream and who offers it say to each other, with the limit of every field.
 *
 * Not here: what they do about it (node/sources.ts). The same words between a client and its entry, and between two nodes.
 */
import { added, bytes, codec, list, type MessageOf, text, uint } from '../wire.ts'

/** Items that a reader has room for, at most. */
export const creditMax = 256
/** Bytes of one item, encoded; a source that gives a larger one fails. */
export const itemBytesMax = 1 << 20
const name = text(128)

export const sourceQuestions = {
  /** `credit`: items that there is room for. */
  subscribe: { ask: uint(), name, credit: uint(creditMax) },
  more: { ask: uint(), credit: uint(creditMax) },
  unsubscribe: { ask: uint() }
} as const

export const sourceAnswers = {
  /** `dropped`: items that were missed before these. */
  items: { ask: uint(), dropped: uint(), values: list(bytes(itemBytesMax), creditMax) },
  /** `code` is empty for a good end. */
  'source-ended': { ask: uint(), code: text(32), message: added(text(512), '') }
} as const

/** Between a node and its own engines. */
export const questionCodec = codec(sourceQuestions)
export const answerCodec = codec(sourceAnswers)

export type SourceQuestion = MessageOf<typeof sourceQuestions>
export type SourceAnswer = MessageOf<typeof sourceAnswers>
export type SourceQuestionOf<K extends SourceQuestion['kind']> = Extract<SourceQuestion, { kind: K }>

export const isSourceQuestion = <M extends { readonly kind: string }>(
  message: M
): message is Extract<M, SourceQuestion> => message.kind in sourceQuestions
export const isAboutSource = <M extends { readonly kind: string }>(
  message: M
): message is Extract<M, SourceQuestion | SourceAnswer> =>
  isSourceQuestion(message) || isSourceAnswer(message)
export const isSourceAnswer = <M extends { readonly kind: string }>(
  message: M
): message is Extract<M, SourceAnswer> => message.kind in sourceAnswers
