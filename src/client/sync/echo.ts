/**
 * Shows what tasks print while somebody is blocked who waits for them.
 *
 * Not here: hearing it (live.ts). The streams of this thread go through the one that sleeps, so this writes to the files themselves.
 */
import { writeSync } from 'node:fs'
import type { Printed } from '../types.ts'

const [stdout, stderr] = [1, 2]
/** Between two tries to write to a reader that is slow. */
const againMs = 5
/** A reader that takes nothing for so long misses the rest: the caller waits for results, and not for it. */
const triesMax = 200

export interface Audible {
  onOutput(listener: (printed: Printed) => void): () => void
}

export const isAudible = (work: unknown): work is Audible =>
  typeof work === 'object' && work !== null && 'onOutput' in work

/** Returns a function that ends it. */
export function echo(work: Audible): () => void {
  return work.onOutput((printed) => {
    write(stdout, printed.stdout)
    write(stderr, printed.stderr)
  })
}

function write(file: number, text: string): void {
  const bytes = Buffer.from(text)
  for (let at = 0, tries = 0; at < bytes.byteLength && tries < triesMax; ) {
    try {
      at += writeSync(file, bytes, at)
      tries = 0
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return
      tries++
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, againMs)
    }
  }
}
