/**
 * Puts the names in a folder on the disk for good, at once for all who ask while that is being done.
 *
 * Not here: what the files hold, which is synced file by file.
 * Each sync of a folder is a commit of the file system, and those who bring many files at once need but a few of them.
 */
import { open } from 'node:fs/promises'

interface Syncable {
  sync(): Promise<void>
  close(): Promise<void>
}

// Windows cannot open a folder; its renames are journaled.
const nothing: Syncable = { sync: async () => {}, close: async () => {} }

const openFolder = async (path: string): Promise<Syncable> =>
  process.platform === 'win32' ? nothing : await open(path, 'r')

export class FolderSync {
  readonly #folder: string
  readonly #open: typeof openFolder
  readonly #onBegin: () => () => void
  #running: Promise<void> | undefined
  /** It has begun: names that come from now on may not be among those. */
  #isSyncing = false
  /** Begins when the running one has ended. */
  #next: Promise<void> | undefined

  /** `onBegin` is called when a sync begins, and what it returns when it has ended well. */
  constructor(folder: string, onBegin: () => () => void = () => () => {}, open = openFolder) {
    this.#folder = folder
    this.#open = open
    this.#onBegin = onBegin
  }

  /** Resolves when all names that are there now are on the disk. Rejects as the disk does. */
  done(): Promise<void> {
    // The next one may be about to begin.
    if (this.#running === undefined) return this.#next ?? this.#begin()
    if (!this.#isSyncing) return this.#running
    this.#next ??= this.#running.catch(() => {}).then(() => this.#begin())
    return this.#next
  }

  #begin(): Promise<void> {
    this.#next = undefined
    this.#running = this.#sync().finally(() => {
      this.#running = undefined
      this.#isSyncing = false
    })
    return this.#running
  }

  async #sync(): Promise<void> {
    const folder = await this.#open(this.#folder)
    this.#isSyncing = true
    const ended = this.#onBegin()
    try {
      await folder.sync()
    } finally {
      await folder.close().catch(() => {})
    }
    ended()
  }
}
