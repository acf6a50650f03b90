/**
 * What programs may take of a machine that is somebody's: how much they give way, how much memory and time, and
 * when they stand still.
 *
 * Not here: how they begin and end (tree.ts), and when somebody is there (node/vigil.ts).
 * Memory is looked at from outside, as that of engines is: a limit of the system counts what a program reserves, of which many
 * reserve far more than they ever use. Where there is no /proc, there is none.
 */
import { setPriority } from 'node:os'
import { memoryOf } from './memory.ts'
import { signalGroup } from './tree.ts'

/** Between two looks at how much memory a program uses. */
const memoryEveryMs = 500
/** A longer delay would fire at once. */
const timerMaxMs = 2 ** 31 - 1

export interface MannersOptions {
  /** 0 to 19, as for `nice`. */
  readonly nice: number
  /** Megabytes in memory of one program with all that it started; `undefined` for any. */
  readonly memoryMb: number | undefined
}

export class Manners {
  readonly #options: MannersOptions
  /** Those that run, with what tells that they are to end. */
  readonly #groups = new Map<number, AbortSignal>()
  #isSuspended = false

  constructor(options: MannersOptions) {
    this.#options = options
  }

  /** A group that has just begun; `onFull` is told megabytes, perhaps more than once. Returns what is called when it has ended. */
  begin(group: number, signal: AbortSignal, onFull: (usedMb: number) => void): () => void {
    const { nice, memoryMb } = this.#options
    this.#groups.set(group, signal)
    giveWay(group, nice)
    if (this.#isSuspended && !signal.aborted) signalGroup(group, 'SIGSTOP')
    const weigh = async (most: number): Promise<void> => {
      const usedMb = Math.round((await memoryOf(group)) / 2 ** 20)
      if (usedMb > most && this.#groups.has(group)) onFull(usedMb)
    }
    const timer =
      memoryMb === undefined ? undefined : setInterval(() => void weigh(memoryMb), memoryEveryMs).unref()
    return () => {
      clearInterval(timer)
      this.#groups.delete(group)
    }
  }

  /** Also of those that begin meanwhile; not of those that are being ended, which may clean up. */
  suspend(isSuspended: boolean): void {
    this.#isSuspended = isSuspended
    for (const [group, signal] of this.#groups)
      if (!isSuspended) signalGroup(group, 'SIGCONT')
      else if (!signal.aborted) signalGroup(group, 'SIGSTOP')
  }
}

/** As far as the system allows: nobody may take back what the whole node gives away already. */
export function giveWay(pid: number, nice: number): void {
  if (nice === 0) return
  try {
    setPriority(pid, nice)
  } catch {
    // It runs like any other.
  }
}

/** A timer for any time. */
export function startTimer(ms: number, onDue: () => void): { stop(): void } {
  let left = ms
  let timer: NodeJS.Timeout
  const next = (): void => {
    const step = Math.min(left, timerMaxMs)
    left -= step
    timer = setTimeout(() => (left > 0 ? next() : onDue()), step)
  }
  next()
  return { stop: () => clearTimeout(timer) }
}
