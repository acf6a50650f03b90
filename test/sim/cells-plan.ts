/**
 * What a seed decides of clients that use locks, variables and the like.
 *
 * Not here: the clients (cells.ts). Drawn from a stream of its own, so that the other seeds stay as they were.
 */
import type { Millis } from '../../src/machine.ts'
import type { Random } from '../../src/random.ts'

export interface CellsPlan {
  readonly clients: number
  /** Cells of each sort. */
  readonly cells: number
  readonly thinkMs: Millis
  readonly leaseMs: Millis
  /** Of a client, after a command, that it dies. */
  readonly death: number
}

/** Part of the seeds that have such clients. */
const share = 0.2

export function drawCells(random: Random): { cells?: CellsPlan } {
  if (!random.chance(share)) return {}
  return {
    cells: {
      clients: 2 + random.below(3),
      cells: 1 + random.below(2),
      thinkMs: 100 + random.next() * 1_500,
      leaseMs: Math.ceil(700 + random.next() * 4_000),
      death: random.chance(0.5) ? 0.02 : 0
    }
  }
}
