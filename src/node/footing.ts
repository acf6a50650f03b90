/**
 * Whether the folders that a node opened are still where it opened them.
 *
 * Not here: what is done if they are not (core.ts: the disk counts as failed), and whether they can be written (store.ts).
 * Files that are open can be written for ever, also when their folder was removed or moved away: whoever comes back to the
 * path finds none of it.
 */
import { stat } from 'node:fs/promises'

const lookEveryMs = 3_000

export class Footing {
  /** What was found at each path when it was opened. */
  readonly #found: ReadonlyMap<string, string>

  private constructor(found: ReadonlyMap<string, string>) {
    this.#found = found
  }

  static async on(paths: readonly string[]): Promise<Footing> {
    return new Footing(
      new Map(await Promise.all(paths.map(async (path) => [path, await what(path)] as const)))
    )
  }

  /** What is wrong, if something is. */
  async lost(): Promise<string | undefined> {
    for (const [path, before] of this.#found) {
      const now = await what(path)
      if (now === 'gone') return `the folder ${path} is gone`
      if (now !== 'unknown' && before !== 'unknown' && now !== before)
        return `the folder ${path} was replaced by another`
    }
    return undefined
  }

  /** Looks every few seconds, and tells once. Stops when the returned function is called. */
  watch(onLost: (reason: string) => void): () => void {
    let isOver = false
    const timer = setInterval(async () => {
      const reason = await this.lost()
      // A temporary folder goes with its node.
      if (reason === undefined || isOver) return
      end()
      onLost(reason)
    }, lookEveryMs).unref()
    const end = (): void => {
      isOver = true
      clearInterval(timer)
    }
    return end
  }
}

/** Device and inode; `unknown` if that cannot be told now, which says nothing about the folder. */
async function what(path: string): Promise<string> {
  try {
    const { dev, ino } = await stat(path, { bigint: true })
    return `${dev}:${ino}`
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === 'ENOENT' || code === 'ENOTDIR' ? 'gone' : 'unknown'
  }
}
