/**
 * The work of a chaos run, and how its results are checked by other code than made them.
 *
 * Not here: who submits it (stream.ts). A task multiplies again and again modulo a prime; the check raises to a power.
 * Each run adds a token of its own: the same task read twice must show the same token, or it has two outcomes.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../../src/random.ts'

export interface Input {
  readonly start: number
  readonly times: number
  /** How long the task rests, in ms: it occupies its slot and not the processor. */
  readonly rests: number
  readonly padding: string
}

export interface Output {
  readonly product: number
  readonly paddingLength: number
  /** Of this run, and when it ended by its engine's clock. */
  readonly token: string
  readonly endedAt: number
}

/** Shipped as it stands, so it captures nothing. */
export async function task({ start, times, rests, padding }: Input): Promise<Output> {
  let product = start
  for (let i = 0; i < times; i++) product = (product * 48_271) % 2_147_483_647
  if (rests > 0) await new Promise((resolve) => setTimeout(resolve, rests))
  return {
    product,
    paddingLength: padding.length,
    token: globalThis.crypto.randomUUID(),
    endedAt: Date.now()
  }
}

/** True if a run of `task` can have given this output. */
export function isRight({ start, times, padding }: Input, output: Output): boolean {
  const prime = 2_147_483_647n
  let result = BigInt(start)
  let factor = 48_271n
  for (let rest = BigInt(times); rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) result = (result * factor) % prime
    factor = (factor * factor) % prime
  }
  return (
    output.product === Number(result) && output.paddingLength === padding.length && output.token.length === 36
  )
}

export interface Plan {
  readonly kind: 'one' | 'some' | 'many' | 'long' | 'large' | 'pulled' | 'left'
  readonly inputs: readonly Input[]
}

/** `pulled` comes from an async source, and the submitter of `left` goes away as soon as it is accepted. */
export function drawPlan(random: Random): Plan {
  const kinds = ['one', 'one', 'some', 'some', 'many', 'long', 'large', 'pulled', 'left'] as const
  const kind = random.pick(kinds) ?? 'one'
  const input = (rests: number, padding = 0): Input => ({
    start: 1 + random.below(2_147_483_000),
    times: random.below(2_000),
    rests,
    padding: 'x'.repeat(padding)
  })
  const batch = (count: number, make: () => Input): Input[] => Array.from({ length: count }, make)
  switch (kind) {
    case 'one':
      return { kind, inputs: [input(random.below(30))] }
    case 'some':
      return { kind, inputs: batch(10 + random.below(50), () => input(5 + random.below(30))) }
    case 'many':
      return { kind, inputs: batch(400 + random.below(800), () => input(random.below(3))) }
    case 'long':
      return { kind, inputs: batch(3 + random.below(6), () => input(200 + random.below(400))) }
    case 'large':
      return { kind, inputs: batch(5 + random.below(15), () => input(10, 20_000 + random.below(200_000))) }
    case 'pulled':
      return { kind, inputs: batch(100 + random.below(100), () => input(random.below(10))) }
    case 'left':
      return { kind, inputs: batch(20 + random.below(80), () => input(5 + random.below(15))) }
    default:
      return kind satisfies never
  }
}

export async function* pulled(inputs: readonly Input[]): AsyncGenerator<Input> {
  for (const [at, input] of inputs.entries()) {
    if (at % 20 === 19) await sleep(5)
    yield input
  }
}
