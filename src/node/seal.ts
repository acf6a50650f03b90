/**
 * Tells whether a store still holds what was synced to it: no more, no less, and nothing changed.
 *
 * Not here: writing (store.ts), and what a node does whose store is damaged (node.ts).
 * LevelDB checks its log and drops what does not match, silently, and reads tables unchecked; a keeper that went on from such
 * a state would have forgotten what it promised. So every group carries a seal, the number of the group and a sum over all that
 * the store then holds, and the number of the last synced group is noted in a file beside it. A sum that differs, or a group
 * below that number, is damage. The note is not synced: it survives the process, and after a power cut it is a little behind,
 * so what a machine lost of its unsynced end is not taken for damage. Several groups share a note, since it costs as much as a
 * group does: so nothing is found out about the last groups before a crash, those of `noteEveryMs`.
 */
import { constants } from 'node:fs'
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'

/** The key of the seal; sorts after all others. */
export const sealKey = '~seal'
const noteFile = 'SYNCED'
const noteEveryMs = 20

interface Entry {
  readonly key: string
  readonly value: Uint8Array | undefined
}

export class Seal {
  readonly #sums = new Map<string, number>()
  #sum = 0
  #group = 0
  readonly #file: FileHandle
  #syncedGroup = 0
  #notedGroup = 0
  /** The last note, which comes after those before it. */
  #noting: Promise<void> = Promise.resolve()
  #later: ReturnType<typeof setTimeout> | undefined

  private constructor(file: FileHandle) {
    this.#file = file
  }

  /** The number of the last group that is known to have been synced in this folder. 0 if nobody noted one. */
  static async lastSynced(folder: string): Promise<number> {
    const text = await readFile(join(folder, noteFile), 'utf8').catch(() => '')
    const [, group = '', sum = ''] = /^(\d{16}) (\d{10})\n$/.exec(text) ?? []
    return group !== '' && Number(sum) === crc32(group) ? Number(group) : 0
  }

  /** Before anything of the store is read. */
  static async begin(folder: string): Promise<Seal> {
    return new Seal(await open(join(folder, noteFile), constants.O_RDWR | constants.O_CREAT, 0o600))
  }

  /** What the store holds, one by one. */
  take(key: string, value: Uint8Array): void {
    this.#change({ key, value })
  }

  /** Why the store is damaged, if it is: `found` is its seal, and `lastSynced` what was noted beside it. */
  verdict(found: Uint8Array | undefined, lastSynced: number): string | undefined {
    const numbers = /^(\d{1,15}) (\d{1,15}) (\d{1,10})$/.exec(
      found === undefined ? '0 0 0' : Buffer.from(found).toString()
    )
    if (numbers === null) return 'its seal cannot be read'
    const [group = 0, count = 0, sum = 0] = numbers.slice(1).map(Number)
    this.#group = group
    if (count !== this.#sums.size || sum !== this.#sum)
      return `it holds ${this.#sums.size} records that are not the ${count} that were written`
    return group < lastSynced ? `it ends with group ${group}, and group ${lastSynced} was synced` : undefined
  }

  /** The seal of the next group, which makes these changes in order. */
  next(changes: Iterable<Entry>): Uint8Array {
    for (const change of changes) this.#change(change)
    return Buffer.from(`${++this.#group} ${this.#sums.size} ${this.#sum}`)
  }

  /** The last group that `next` sealed is on disk. Noted soon; of several, the newest. */
  synced(): void {
    this.#syncedGroup = this.#group
    this.#later ??= setTimeout(this.#note, noteEveryMs)
  }

  async close(): Promise<void> {
    clearTimeout(this.#later)
    this.#note()
    await this.#noting
    await this.#file.close()
  }

  readonly #note = (): void => {
    this.#later = undefined
    this.#noting = this.#noting.then(() => this.#write())
  }

  async #write(): Promise<void> {
    if (this.#notedGroup === this.#syncedGroup) return
    const group = String(this.#syncedGroup).padStart(16, '0')
    this.#notedGroup = this.#syncedGroup
    const text = `${group} ${String(crc32(group)).padStart(10, '0')}\n`
    // A note that cannot be written leaves an older one: less is found out, and nothing is taken for damage that is none.
    await this.#file.write(text, 0).catch(() => {})
  }

  #change({ key, value }: Entry): void {
    const before = this.#sums.get(key)
    if (before !== undefined) this.#sum = (this.#sum - before) >>> 0
    if (value === undefined) {
      this.#sums.delete(key)
      return
    }
    const sum = crc32(value, crc32(`${key}\n`))
    this.#sums.set(key, sum)
    this.#sum = (this.#sum + sum) >>> 0
  }
}
