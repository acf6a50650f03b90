/**
 * Breaks one line of src in this process, by a hook that changes a module's source while it is loaded.
 *
 * Not here: which lines (mutations.ts). The files on disk stay as they are, so src knows nothing of its mutants.
 * A snippet that does not occur exactly once is an error: a mutation that no longer breaks anything must not pass for one.
 */
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'

export interface Edit {
  /** Below the root of the project. */
  readonly file: string
  /** Occurs exactly once in the file. */
  readonly from: string
  readonly to: string
}

export interface Mutation extends Edit {
  readonly name: string
  /** Where two parts of src guard the same promise, both must be broken. */
  readonly and?: Edit
  /** What is broken, and what must go wrong because of it. */
  readonly why: string
}

const root = new URL('../../', import.meta.url)

/** Every file that the mutation changes, by its URL, as the mutation leaves it. */
export function mutated(mutation: Mutation): Map<string, string> {
  const sources = new Map<string, string>()
  for (const { file, from, to } of [mutation, ...(mutation.and === undefined ? [] : [mutation.and])]) {
    const url = new URL(file, root)
    const source = sources.get(url.href) ?? readFileSync(url, 'utf8')
    const count = source.split(from).length - 1
    if (count !== 1) {
      const text = `mutation ${mutation.name} is stale: its snippet occurs ${count} times in ${file}, not once`
      throw new Error(`${text}; adapt test/sim/mutations.ts`)
    }
    sources.set(
      url.href,
      source.replace(from, () => to)
    )
  }
  return sources
}

export function mutate(mutation: Mutation): void {
  const sources = mutated(mutation)
  registerHooks({
    load: (url, context, nextLoad) => {
      const source = sources.get(url)
      if (source === undefined) return nextLoad(url, context)
      return { format: 'module-typescript', source, shortCircuit: true }
    }
  })
}
