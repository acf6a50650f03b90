/**
 * The records of shards and cells on disk: appended in order, replaced by what says the same, removed once forgotten.
 *
 * Not here: what they say (tasks/keeper.ts, cells/acceptor.ts), and syncing (store.ts).
 * A store key is `s/<shard, job or cell>/<number>`, so the records of a shard lie together and in order, and can go together.
 */
import type { CellPersist } from '../cells/effects.ts'
import type { CellKey } from '../ids.ts'
import type { Millis } from '../machine.ts'
import type { Persist } from '../tasks/effects.ts'
import type { Forgettable } from '../tasks/messages.ts'
import type { DiskRecord } from './effects.ts'
import { joinFrame, peerMessages, splitFrame } from './messages.ts'
import { encodeOnce } from './outbox.ts'
import type { Store, Write } from './store.ts'

const prefix = 's/'
/** Records that are read at a time: of a million jobs, all of them would not fit into memory as objects. */
const readMax = 4_096

type RecordKey = Forgettable | CellKey

interface Part {
  readonly key: RecordKey
  readonly records: Uint8Array[]
  readonly replaces: boolean
}

export class Journal {
  readonly #store: Store
  /** Numbers of the records on disk. */
  readonly #numbers = new Map<RecordKey, readonly number[]>()
  /** What is to be written next, in order; records of one shard that follow each other are one part. */
  #parts: Part[] = []
  #next = 0
  #upTo = 0
  #dueAt: Millis = Number.POSITIVE_INFINITY

  constructor(store: Store) {
    this.#store = store
  }

  /** Everything that is on disk, some at a time. Throws SHOAL_BAD_MESSAGE if a record cannot be read. */
  async *read(): AsyncGenerator<readonly DiskRecord[]> {
    let records: DiskRecord[] = []
    for await (const { key, value } of this.#store.read(prefix)) {
      const at = key.lastIndexOf('/')
      const [name, number] = [key.slice(prefix.length, at) as RecordKey, Number(key.slice(at + 1))]
      this.#add(name, number)
      this.#next = Math.max(this.#next, number)
      for (const part of splitFrame(value)) records.push(peerMessages.parse(part) as DiskRecord)
      if (records.length < readMax) continue
      yield records
      records = []
    }
    yield records
  }

  /** To be written by `dueAt` at the latest, all before it included. */
  add({ key, messages, replaces }: Persist | CellPersist, id: number, dueAt: Millis): void {
    const records = messages.map(encodeOnce)
    const last = this.#parts.at(-1)
    if (last?.key === key && !replaces) last.records.push(...records)
    else this.#parts.push({ key, records, replaces })
    this.#upTo = id
    this.#dueAt = Math.min(this.#dueAt, dueAt)
  }

  /** When what waits for company is due; infinite if nothing does. */
  get dueAt(): Millis {
    return this.#parts.length === 0 ? Number.POSITIVE_INFINITY : this.#dueAt
  }

  /** Writes all of it in one step. Resolves with the number of the last effect that is now on disk. Rejects with SHOAL_DISK. */
  async write(): Promise<number> {
    const [parts, upTo] = [this.#parts, this.#upTo]
    this.#parts = []
    this.#dueAt = Number.POSITIVE_INFINITY
    const writes: Write[] = []
    for (const { key, records, replaces } of parts) {
      if (replaces) {
        for (const number of this.#numbers.get(key) ?? [])
          writes.push({ key: nameOf(key, number), value: undefined })
        this.#numbers.delete(key)
      }
      if (records.length > 0) {
        this.#add(key, ++this.#next)
        writes.push({ key: nameOf(key, this.#next), value: joinFrame(records) })
      }
    }
    await this.#store.write(writes)
    return upTo
  }

  /** A list that grows in place takes room for sixteen more. */
  #add(key: RecordKey, number: number): void {
    this.#numbers.set(key, [...(this.#numbers.get(key) ?? []), number])
  }
}

const nameOf = (key: RecordKey, number: number): string =>
  `${prefix}${key}/${String(number).padStart(16, '0')}`
