/**
 * Seeded random numbers, so that a run can be repeated from its seed.
 *
 * Not here: secrets; keys and nonces come from the operating system, in src/node.
 * Each part forks its own stream by name, so that a new draw in one part does not change the choices of another
 * (generator: mulberry32; label hash: FNV-1a).
 */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number
  /** Uniform integer in [0, below). */
  below(below: number): number
  /** One of `items`; `undefined` if there are none. */
  pick<T>(items: readonly T[]): T | undefined
  /** True with probability `p`. */
  chance(p: number): boolean
  /** An independent stream, determined by this one's seed and `label`. */
  fork(label: string): Random
}

export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const below = (limit: number): number => Math.floor(next() * limit)
  return {
    next,
    below,
    pick: (items) => items[below(items.length)],
    chance: (p) => next() < p,
    fork: (label) => seededRandom(hash32(`${seed}:${label}`))
  }
}

/** FNV-1a over UTF-16 code units, finished with a murmur mix: fast, and even enough to rank peers. Not for secrets. */
export function hash32(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    hash ^= text.charCodeAt(i)
    hash = Math.imul(hash, 0x01000193)
  }
  hash ^= hash >>> 16
  hash = Math.imul(hash, 0x85ebca6b)
  hash ^= hash >>> 13
  hash = Math.imul(hash, 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
