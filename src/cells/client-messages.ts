/**
 * What a client and its entry say to each other about cells.
 *
 * Not here: what the commands mean (commands.ts).
 */
import { bytes, flag, type MessageOf, text, uint } from '../wire.ts'
import { commandBytesMax } from './messages.ts'

export const cellQuestions = {
  /** `isFirst`: it was never sent to any entry before. Said again while it is not answered. */
  command: {
    ask: uint(),
    cell: text(160),
    id: text(64),
    base: uint(),
    isFirst: flag,
    command: bytes(commandBytesMax)
  },
  /** The client waits for it no longer. */
  withdraw: { ask: uint() }
} as const

export const cellAnswers = {
  /** It is under way. */
  noted: { ask: uint() },
  decided: { ask: uint(), version: uint(), answer: bytes(commandBytesMax) },
  /** It is refused, or nobody knows whether it was done. */
  undecided: { ask: uint(), code: text(32), message: text(1_024) }
} as const

export type CellQuestion = MessageOf<typeof cellQuestions>
export type CellAnswer = MessageOf<typeof cellAnswers>
export type CellQuestionOf<K extends CellQuestion['kind']> = Extract<CellQuestion, { kind: K }>

export const isCellQuestion = (message: { readonly kind: string }): message is CellQuestion =>
  Object.hasOwn(cellQuestions, message.kind)
export const isCellAnswer = (message: { readonly kind: string }): message is CellAnswer =>
  Object.hasOwn(cellAnswers, message.kind)
