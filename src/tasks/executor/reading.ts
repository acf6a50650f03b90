/**
 * How tasks read live sources: questions that leave an engine, and answers that come back to it.
 *
 * Not here: what they ask (routing/source-messages.ts), who answers (node/readers.ts), and what a task sees of it (src/task.ts).
 * User code shares the engine and may say anything in its name, so questions are parsed like those of any stranger.
 */
import {
  type SourceAnswer,
  type SourceQuestion,
  sourceAnswers,
  sourceQuestions
} from '../../routing/source-messages.ts'
import { codec } from '../../wire.ts'

const questions = codec(sourceQuestions)
const answers = codec(sourceAnswers)

/** From an engine. */
export interface Asking {
  readonly kind: 'asks'
  readonly bytes: Uint8Array
}

/** To an engine. */
export interface Told {
  readonly kind: 'told'
  readonly bytes: Uint8Array
}

export const asking = (question: SourceQuestion): Asking => ({
  kind: 'asks',
  bytes: questions.encode(question)
})
export const told = (answer: SourceAnswer): Told => ({ kind: 'told', bytes: answers.encode(answer) })

/** Nothing, if it is none. */
export function questionIn(message: unknown): SourceQuestion | undefined {
  const { kind, bytes } = Object(message) as Partial<Record<keyof Asking, unknown>>
  if (kind !== 'asks' || !(bytes instanceof Uint8Array)) return undefined
  try {
    return questions.parse(bytes)
  } catch {
    return undefined
  }
}

/** In an engine: who hears the answers, once a task has asked. */
export const ear: { hear: ((answer: SourceAnswer) => void) | undefined } = { hear: undefined }

export function hear({ bytes }: Told): void {
  ear.hear?.(answers.parse(bytes))
}
