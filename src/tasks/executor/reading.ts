/**
 * The way between the tasks of an engine and the live sources that they read: questions out, answers in, both as bytes.
 *
 * Not here: what they say (routing/source-messages.ts), who answers (node/readers.ts), and what a task sees of it (src/task.ts).
 */

/** Bytes of one question; user code shares the engine, and may say what it likes. */
const questionBytesMax = 4_096

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

/** Nothing, if it is none. */
export function questionIn(message: unknown): Uint8Array | undefined {
  const { kind, bytes } = Object(message) as Partial<Record<keyof Asking, unknown>>
  const isOne = kind === 'asks' && bytes instanceof Uint8Array && bytes.byteLength <= questionBytesMax
  return isOne ? bytes : undefined
}

/** In an engine: who hears the answers, once a task has asked. */
export const ear: { hear: ((answer: Uint8Array) => void) | undefined } = { hear: undefined }
