/**
 * One node's disk: what was written, what of it is synced, and what a crash leaves.
 *
 * Not here: when to sync (node.ts) and what must be on it (durable.ts, which is told of every synced record).
 * Every record has a checksum, as in the real store: flipped bits are found when it is read, and such a disk is not used.
 * What replaces earlier records of its key does so in one piece, when it is synced itself.
 */
import type { CoreEffect, DiskRecord } from '../../src/node/effects.ts'
import { peerMessages } from '../../src/node/messages.ts'
import { hash32, type Random } from '../../src/random.ts'
import { encodeOnce } from './network.ts'
import type { DiskFate } from './plan.ts'

interface Written {
  readonly key: string
  readonly replaces: boolean
  readonly messages: readonly DiskRecord[]
  readonly parts: readonly Uint8Array[]
  /** Of parts that were tampered with; the others need none here. */
  readonly checksum: number
}

const sumOf = (parts: readonly Uint8Array[]): number =>
  hash32(parts.map((part) => Buffer.from(part).toString('latin1')).join(' '))

export class Disk {
  #records: Written[] = []
  #synced = 0

  get length(): number {
    return this.#records.length
  }

  write({ key, replaces, messages }: Extract<CoreEffect, { kind: 'persist' }>): void {
    const parts = messages.map(encodeOnce)
    this.#records.push({ key, replaces, messages, parts, checksum: 0 })
  }

  /** Everything before `length` is safe now; returns what was not before. */
  sync(length: number): DiskRecord[] {
    const fresh = this.#records.slice(this.#synced, length)
    this.#synced = Math.max(this.#synced, length)
    return fresh.flatMap(({ messages }) => messages)
  }

  /** Power is lost. True if the disk can be read afterwards. */
  crash(fate: DiskFate, random: Random): boolean {
    const rest = this.#records.length - this.#synced
    const luck = fate === 'whole' ? rest : fate === 'torn' ? random.below(rest + 1) : 0
    this.#records.length = this.#synced + luck
    // Nothing is written while the node is down: what was replaced can go.
    this.#records = live(this.#records)
    this.#synced = this.#records.length
    if (fate === 'empty') return false
    if (fate === 'flipped') this.#flip(random)
    return this.#records.every(({ parts, checksum }) => checksum === 0 || checksum === sumOf(parts))
  }

  read(): DiskRecord[] {
    return live(this.#records).flatMap(({ parts }) =>
      parts.map((part) => peerMessages.parse(part) as DiskRecord)
    )
  }

  #flip(random: Random): void {
    const at = random.below(this.#records.length)
    const record = this.#records[at]
    const bytes = record?.parts[0]
    if (record === undefined || bytes === undefined) return
    const flipped = Uint8Array.from(bytes)
    const byte = random.below(flipped.length)
    flipped[byte] = (flipped[byte] as number) ^ (1 << random.below(8))
    const [, ...others] = record.parts
    this.#records[at] = { ...record, parts: [flipped, ...others], checksum: sumOf(record.parts) }
  }
}

/** Without what later records replaced. */
function live(records: readonly Written[]): Written[] {
  const from = new Map<string, number>()
  for (const [at, { key, replaces }] of records.entries()) if (replaces) from.set(key, at)
  return records.filter(({ key, messages }, at) => at >= (from.get(key) ?? 0) && messages.length > 0)
}
