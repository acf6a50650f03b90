/**
 * What the mesh runs: counts the words of one text, by their stems.
 *
 * Not here: files. The text comes as the input, since machines of a lab share no disk; `stemmer` travels with this module.
 */
import { gunzipSync } from 'node:zlib'
import { stemmer } from 'stemmer'

export interface Text {
  readonly name: string
  /** The text in UTF-8, by gzip: what several nodes keep is kept small. */
  readonly packed: Uint8Array
}

/** Runs of letters, in lower case, cut to their stems: `node` and `nodes` are one word. */
export function countWords({ packed }: Text): Map<string, number> {
  const counts = new Map<string, number>()
  for (const word of gunzipSync(packed)
    .toString()
    .toLowerCase()
    .match(/\p{L}+/gu) ?? []) {
    const stem = stemmer(word)
    counts.set(stem, (counts.get(stem) ?? 0) + 1)
  }
  return counts
}
