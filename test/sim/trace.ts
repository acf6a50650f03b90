/**
 * The trace of a seed: one number that differs if anything happened otherwise, at another time, or in another order.
 *
 * Not here: what is told to people (watch.ts). It is fed at every step, so it hashes words and not a text.
 */
import { hash32 } from '../../src/random.ts'

const words = new Map<string, number>()
const instant = new Float64Array(1)
const halves = new Uint32Array(instant.buffer)

export class Trace {
  #sum = 0

  get sum(): number {
    return this.#sum >>> 0
  }

  add(at: number, who: string, what: string, count: number): void {
    instant[0] = at
    let sum = mix(mix(this.#sum, halves[0] as number), halves[1] as number)
    sum = mix(mix(sum, wordOf(who)), wordOf(what))
    this.#sum = mix(sum, count)
  }
}

function wordOf(text: string): number {
  const known = words.get(text)
  if (known !== undefined) return known
  const word = hash32(text)
  words.set(text, word)
  return word
}

/** One round of MurmurHash3. */
function mix(sum: number, word: number): number {
  const k = Math.imul(word, 0xcc9e2d51)
  const mixed = sum ^ Math.imul((k << 15) | (k >>> 17), 0x1b873593)
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0
}
