/**
 * Where a keeper has its shards. Most of them are settled, are read now and then, and stay for a day: these lie here as bytes.
 *
 * Not here: what changes a shard (keeper.ts), and quotas (node/core.ts).
 * As objects, a shard of one task takes 4 KiB of the heap and keeps its garbage collector busy; a node may have a million of
 * them. Those that were changed last stay as they are: their clients still read or release them.
 */
import type { Ballot, Digest, PeerId, ShardKey } from '../ids.ts'
import { assert, type Millis } from '../machine.ts'
import { codec, list } from '../wire.ts'
import { listOf } from './keepers.ts'
import { type Acceptor, type Kept, newAcceptor, printOf } from './kept.ts'
import { accepted, shardFields } from './messages.ts'

/** Settled shards that stay objects: those that were changed last. */
const openMax = 1_024
/** More batches than that are rare; such a shard stays as it is. */
const batchesMax = 1_024
/** Lists of keepers that are shared by those who have the same; of more, memory is wasted. */
const listsMax = 10_000

/** Without keepers: their names would be a third of it. */
const packings = codec({ settled: { record: shardFields, accepted: list(accepted, batchesMax) } })

/** What can be told of a shard without a look at its tasks. */
export interface Brief {
  readonly list: number
  readonly keepers: readonly PeerId[]
  readonly copies: number
  readonly retentionMs: Millis
  readonly submittedAt: Millis
  readonly code: Digest
}

/** A settled shard as bytes, and what of it is asked often. */
export interface Packed extends Brief {
  readonly bytes: Uint8Array
  readonly promised: Ballot
  readonly settledBy: Ballot
  readonly settledAt: Millis
  readonly weight: number
  readonly print: number
}

export const isPacked = (entry: Kept | Packed): entry is Packed => 'bytes' in entry

export class Shelf {
  readonly #openMax: number
  readonly #shards = new Map<ShardKey, Kept | Packed>()
  /** Settled ones that are not packed, the one first that was changed longest ago. */
  readonly #open = new Set<ShardKey>()
  readonly #lists = new Map<string, readonly PeerId[]>()
  /** How many shards there are of each code. */
  readonly #codes = new Map<Digest, { readonly code: Digest; shards: number }>()

  constructor(most = openMax) {
    this.#openMax = most
  }

  get size(): number {
    return this.#shards.size
  }

  keys(): MapIterator<ShardKey> {
    return this.#shards.keys()
  }

  entries(): MapIterator<[ShardKey, Kept | Packed]> {
    return this.#shards.entries()
  }

  has(key: ShardKey): boolean {
    return this.#shards.has(key)
  }

  /** As it lies here. */
  peek(key: ShardKey): Kept | Packed | undefined {
    return this.#shards.get(key)
  }

  /** To be read, not to be changed. */
  read(key: ShardKey): Kept | undefined {
    const entry = this.#shards.get(key)
    return entry !== undefined && isPacked(entry) ? unpack(entry) : entry
  }

  /** To be changed; valid until `tidy`. */
  open(key: ShardKey): Kept | undefined {
    const entry = this.#shards.get(key)
    if (entry === undefined || !isPacked(entry)) return entry
    const kept = unpack(entry)
    this.set(key, kept)
    return kept
  }

  set(key: ShardKey, kept: Kept): void {
    const before = this.#shards.get(key)
    this.#shards.set(key, kept)
    this.changed(kept)
    this.#count(codeOf(kept), 1)
    if (before !== undefined) this.#count(codeOf(before), -1)
  }

  /** It was of the code `before`. */
  recoded(before: Digest, kept: Kept): void {
    this.#count(codeOf(kept), 1)
    this.#count(before, -1)
  }

  check(): void {
    let shards = 0
    for (const one of this.#codes.values()) shards += one.shards
    assert(shards === this.size, `${shards} shards of known code, ${this.size} in all`)
  }

  /** Some shard is of this code. */
  needs(code: Digest): boolean {
    return this.#codes.has(code)
  }

  /** It goes to the end of the line of those that are to be packed. */
  changed({ record: { key }, acceptors }: Kept): void {
    this.#open.delete(key)
    if (acceptors.at(-1)?.isSettled) this.#open.add(key)
  }

  delete(key: ShardKey): void {
    const entry = this.#shards.get(key)
    if (entry !== undefined) this.#count(codeOf(entry), -1)
    this.#shards.delete(key)
    this.#open.delete(key)
  }

  /** Packs those that were not changed for longest. Nobody may hold one that is to be changed. */
  tidy(): void {
    for (const key of this.#open) {
      if (this.#open.size <= this.#openMax) return
      this.#open.delete(key)
      const entry = this.#shards.get(key)
      const packed = entry === undefined || isPacked(entry) ? undefined : this.#pack(entry)
      if (packed !== undefined) this.#shards.set(key, packed)
    }
  }

  /** The same list for all who have an equal one. */
  shared(keepers: readonly PeerId[]): readonly PeerId[] {
    const name = keepers.join()
    const known = this.#lists.get(name)
    if (known !== undefined) return known
    if (this.#lists.size >= listsMax) this.#lists.clear()
    this.#lists.set(name, keepers)
    return keepers
  }

  #count(code: Digest, by: 1 | -1): void {
    const of = this.#codes.get(code) ?? { code, shards: 0 }
    of.shards += by
    if (of.shards > 0) this.#codes.set(code, of)
    else this.#codes.delete(code)
  }

  #pack({ record, acceptors, inForce, weight }: Kept): Packed | undefined {
    const [only, ...more] = acceptors
    // While another list may count, or inputs may be needed, it is not over.
    if (only === undefined || more.length > 0 || only.list !== record.list || inForce?.list !== record.list)
      return undefined
    if (record.inputs.indexes.length + record.needs.length > 0 || only.accepted.length > batchesMax)
      return undefined
    const { list, copies, header } = record
    return {
      bytes: packings.encode({
        kind: 'settled',
        record: { ...record, keepers: [] },
        accepted: only.accepted
      }),
      list,
      keepers: record.keepers,
      copies,
      retentionMs: header.retentionMs,
      submittedAt: header.submittedAt,
      // The same string for all.
      code: this.#codes.get(header.code)?.code ?? header.code,
      promised: only.promised,
      settledBy: only.settledBy,
      settledAt: only.settledAt,
      weight,
      print: printOf(record, acceptors)
    }
  }
}

const codeOf = (entry: Kept | Packed): Digest => (isPacked(entry) ? entry.code : entry.record.header.code)

function unpack({ bytes, keepers, promised, settledBy, settledAt, weight }: Packed): Kept {
  const { record: found, accepted } = packings.parse(bytes)
  const record = { ...found, keepers }
  const acceptor: Acceptor = {
    ...newAcceptor(record.list),
    promised,
    accepted: [...accepted],
    isSettled: true,
    settledBy,
    settledAt
  }
  return { record, acceptors: [acceptor], inForce: listOf(record), weight, isChecked: true }
}
