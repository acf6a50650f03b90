/**
 * Makes what happened in a folder durable: names that came, went or changed.
 *
 * Not here: what lies in the files themselves.
 * One sync serves for all that happened before it, so whoever comes while one is on its way shares the next; like a ferry.
 */
import { open } from 'node:fs/promises'

export class FolderSync {
  readonly #path: string
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined

  constructor(path: string) {
    this.#path = path
  }

  /** Resolves when all that happened before this call is on the disk. Rejects as the file system does. */
  sync(): Promise<void> {
    // Windows cannot open a directory; its renames are journaled.
    if (process.platform === 'win32') return Promise.resolve()
    // One that has begun may have missed what happened since.
    this.#next ??= this.#after(this.#running)
    return this.#next
  }

  async #after(before: Promise<void> | undefined): Promise<void> {
    // In a turn of its own at least, so that those of one turn go together.
    await before?.catch(() => {})
    const running = this.#next
    this.#running = running
    this.#next = undefined
    try {
      const folder = await open(this.#path, 'r')
      await folder.sync().finally(() => folder.close())
    } finally {
      if (this.#running === running) this.#running = undefined
    }
  }
}
