/**
 * What all benchmarks share: the shape of an answer, the arithmetic of samples, and facts about this machine.
 *
 * Not here: what is measured (one file for each question) and how it is printed (main.ts).
 * A number without its machine, commit and budget is a rumour, so an answer carries all three.
 */
import { execFileSync } from 'node:child_process'
import { cpus } from 'node:os'

export interface Answer {
  readonly question: string
  /** Limits by the name of the field they belong to, ending in `Min` or `Max`. */
  readonly budget: Readonly<Record<string, number>>
  /** Whether every limit holds. */
  readonly ok: boolean
  readonly [field: string]: unknown
}

export interface Settings {
  /** Where CPU profiles of the measured part go. Default: none are taken. */
  readonly profiles: string | undefined
  /** Told how far it is. */
  readonly say: (text: string) => void
}

export interface Question {
  readonly name: string
  /** For people. */
  readonly asks: string
  answer(settings: Settings): Promise<Answer>
}

/** The sample that `share` of all samples do not exceed, 0 to 1. */
export function percentile(samples: readonly number[], share: number): number {
  if (samples.length === 0) throw new RangeError('no samples')
  const sorted = [...samples].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}

/** Of an even number of samples, the mean of the two in the middle. */
export function median(samples: readonly number[]): number {
  if (samples.length === 0) throw new RangeError('no samples')
  const sorted = [...samples].sort((a, b) => a - b)
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]]
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2
}

export function sum(samples: Iterable<number>): number {
  let total = 0
  for (const sample of samples) total += sample
  return total
}

/** Rounds for people: no more digits than a noisy machine can vouch for. */
export function round(value: number, digits = 0): number {
  return Number(value.toFixed(digits))
}

/** Milliseconds that `act` takes, and what it gives. */
export async function timed<T>(act: () => Promise<T>): Promise<{ ms: number; value: T }> {
  const start = performance.now()
  const value = await act()
  return { ms: performance.now() - start, value }
}

export interface Circumstances {
  readonly machine: string
  readonly node: string
  /** `unknown` outside a checkout; ends in `+` if files differ from it. */
  readonly commit: string
}

export function circumstances(): Circumstances {
  const cores = cpus()
  return {
    machine: `${cores.length} x ${cores[0]?.model.trim() ?? 'unknown'}`,
    node: process.version,
    commit: commit()
  }
}

function commit(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, { cwd: import.meta.dirname, encoding: 'utf8', stdio: 'pipe' }).trim()
  try {
    const differs = git('status', '--porcelain', '--', '../src', '.') !== ''
    return git('rev-parse', '--short', 'HEAD') + (differs ? '+' : '')
  } catch {
    return 'unknown'
  }
}
