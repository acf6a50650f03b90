/**
 * A run in words, for somebody who looks for the cause of a violation: `--seed N --about job-000002/1`.
 *
 * Not here: judging. Everything that a node takes in or says about that shard is one line, in order of time.
 */
import type { Millis } from '../../src/machine.ts'
import type { CoreEffect, CoreInput } from '../../src/node/effects.ts'

/** One line for each thing that concerns `about`; none for the rest. */
export function watch(
  about: string,
  say: (line: string) => void
): (at: Millis, who: string, input: CoreInput, effects: readonly CoreEffect[]) => void {
  return (at, who, input, effects) => {
    const lines: string[] = []
    if (input.kind === 'received') {
      for (const message of input.messages)
        if (concerns(message, about)) lines.push(`<- ${input.from} ${brief(message)}`)
    } else if (concerns(input, about) || input.kind === 'persist-failed' || input.kind === 'restored') {
      lines.push(`   ${brief(input)}`)
    }
    for (const effect of effects) {
      if (!concerns(effect, about)) continue
      lines.push(
        effect.kind === 'send' ? `-> ${effect.to} ${brief(effect.message)}` : `   does ${brief(effect)}`
      )
    }
    for (const line of lines) say(`${(at / 1_000).toFixed(4).padStart(9)} ${who} ${line}`)
  }
}

/** `header.job` alone does not count: `about` is a key, or the beginning of one. */
const concerns = (value: unknown, about: string): boolean => stringOf(value).includes(about)

function brief(value: unknown): string {
  const text = stringOf(value)
  return text.length > 300 ? `${text.slice(0, 300)}…` : text
}

function stringOf(value: unknown): string {
  return JSON.stringify(value, (key, one: unknown) => {
    if (key === 'header' || key === 'body' || key === 'ends' || key === 'records') return undefined
    if (one instanceof Uint32Array) return `#${[...one].join(',')}`
    return one instanceof Uint8Array ? `${one.byteLength} bytes` : one
  })
}
