/**
 * The way between an engine and its node: what the client of its tasks says and hears, and data in pieces.
 *
 * Not here: what they say (client/protocol.ts), who answers (node/guests.ts, node/errands.ts), and the client (client/within.ts).
 */

/** As much as a frame of any other client may have. */
const saidBytesMax = 32 * 2 ** 20

/** From an engine. */
export type Saying = { readonly kind: 'says'; readonly parts: readonly Uint8Array[] } | Errand

/** About data; each is answered under its number. `of` is the errand that began what this one goes on with. */
export type Errand = { readonly kind: 'errand'; readonly ask: number } & (
  | { readonly what: 'put'; readonly pinMs: number; readonly copies: number; readonly isForJob: boolean }
  /** Of what is put; none at its end, which is answered when it is kept. */
  | { readonly what: 'piece'; readonly of: number; readonly bytes: Uint8Array | undefined }
  | { readonly what: 'open'; readonly id: string }
  | { readonly what: 'read'; readonly of: number; readonly index: number }
  | { readonly what: 'close'; readonly of: number }
  | { readonly what: 'free'; readonly ids: readonly string[] }
)
export type ErrandOf<K extends Errand['what']> = Extract<Errand, { what: K }>

/** To an engine. */
export type Told =
  | { readonly kind: 'told'; readonly parts: readonly Uint8Array[] }
  | {
      readonly kind: 'done'
      readonly ask: number
      readonly value: unknown
      readonly error: Refusal | undefined
    }

export interface Refusal {
  readonly code: string
  readonly message: string
}

/** Nothing, if it is none: user code shares the engine, and may say what it likes. */
export function saidIn(message: unknown): Saying | undefined {
  const { kind, parts, ask } = Object(message) as { kind?: unknown; parts?: unknown; ask?: unknown }
  if (kind === 'errand') return Number.isSafeInteger(ask) ? (message as Errand) : undefined
  if (kind !== 'says' || !Array.isArray(parts)) return undefined
  const size = parts.reduce(
    (sum, part) => sum + (part instanceof Uint8Array ? part.byteLength : Number.NaN),
    0
  )
  return size <= saidBytesMax ? { kind, parts } : undefined
}

/** In an engine: who hears the node, once a task has spoken with it. */
export const ear: { hear: ((told: Told) => void) | undefined } = { hear: undefined }
