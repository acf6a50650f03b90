/**
 * The same count without a mesh: one process, one loop, and other code than words.ts, so that a mistake there shows.
 *
 * Not here: anything of Shoal.
 */
import { readFileSync } from 'node:fs'
import { stemmer } from 'stemmer'

export function plainCount(files: readonly string[]): Record<string, number> {
  const totals: Record<string, number> = Object.create(null)
  for (const file of files) {
    for (const part of readFileSync(file)
      .toString('utf8')
      .toLowerCase()
      .split(/[^\p{Letter}]+/u)) {
      if (part === '') continue
      const stem = stemmer(part)
      totals[stem] = (totals[stem] ?? 0) + 1
    }
  }
  return totals
}
