/**
 * The durable map of a node: string keys to bytes, written in groups that share one sync of the disk.
 *
 * Not here: what the records mean (the machines say), files named by content (blobs.ts).
 * Writers are like passengers of a ferry: whoever comes while it is away leaves with the next one, all of them together.
 */
import { randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { ClassicLevel } from 'classic-level'
import { explainError, ShoalError } from '../errors.ts'
import type { PeerId } from '../ids.ts'
import { makeFolder } from './folder.ts'
import { Seal, sealKey } from './seal.ts'

export interface Write {
  readonly key: string
  /** `undefined` deletes. */
  readonly value: Uint8Array | undefined
}

export interface Store {
  /** Everything under `prefix`, in order of key. */
  read(prefix: string): AsyncIterable<{ key: string; value: Uint8Array }>
  /** Resolves when all writes are durable (synced); concurrent calls share one sync; applied in order of calls. Rejects with SHOAL_DISK. */
  write(writes: readonly Write[]): Promise<void>
  close(): Promise<void>
}

/** Records in one synced group; calls beyond it wait for the next group, so that a flood does not delay everyone. */
const groupWritesMax = 20_000

/** Sorts after every key with this prefix; keys are ASCII. */
const afterPrefix = (prefix: string): string => `${prefix}\uffff`

/**
 * In memory without a folder; else in `<folder>/store`. Rejects with SHOAL_DATA_IN_USE, SHOAL_DISK (cannot be read or written),
 * or SHOAL_DAMAGED (is not what was synced to it): then nobody may go on from it.
 */
export async function openStore(folder: string | undefined): Promise<Store> {
  if (folder === undefined) return new MemoryStore()
  // Loaded late, as clients and tasks have no store.
  const { ClassicLevel } = await import('classic-level')
  const path = join(folder, 'store')
  let db: Level | undefined
  let seal: Seal | undefined
  try {
    await makeFolder(path)
    // LevelDB makes a new store where the file that names its parts is missing, whatever else is there.
    const files = await readdir(path)
    const isNew = !files.some((name) => /^(CURRENT|SYNCED|MANIFEST-.*|.*\.(log|ldb|sst))$/.test(name))
    const lastSynced = await Seal.lastSynced(path)
    db = new ClassicLevel(path, { keyEncoding: 'utf8', valueEncoding: 'view', createIfMissing: isNew })
    await db.open()
    seal = await Seal.begin(path)
    const reason = await examined(db, seal, lastSynced)
    if (reason !== undefined) throw damaged(folder, reason)
    return new LevelStore(db, seal)
  } catch (error) {
    await seal?.close()
    await db?.close().catch(() => {})
    throw openError(folder, error)
  }
}

/** Reads all of it. Why it is damaged, if it is. */
async function examined(db: Level, seal: Seal, lastSynced: number): Promise<string | undefined> {
  let found: Uint8Array | undefined
  for await (const [key, value] of db.iterator()) {
    if (key === sealKey) found = value
    else seal.take(key, value)
  }
  return seal.verdict(found, lastSynced)
}

export interface Identity {
  readonly privateKey: PrivateKey
  readonly peerId: PeerId
  /** Random, made with the store: tells a node that lost its disk from the same node with it. */
  readonly storeId: string
  /** 1 at the first start; grows with each. */
  readonly boot: number
}

/** The identity kept in the store, made at the first start. Counts this start before it returns. */
export async function loadIdentity(store: Store): Promise<Identity> {
  const records = new Map<string, Uint8Array>()
  for await (const { key, value } of store.read('identity')) records.set(key, value)
  const saved = records.get('identity')
  const privateKey = saved ? privateKeyFromProtobuf(saved) : await generateKeyPair('Ed25519')
  const savedId = records.get('identity/store')
  const storeId = savedId ? Buffer.from(savedId).toString() : randomBytes(12).toString('base64url')
  const lastBoot = Number(Buffer.from(records.get('identity/boot') ?? []).toString() || '0')
  const boot = Number.isSafeInteger(lastBoot) ? lastBoot + 1 : 1
  await store.write([
    { key: 'identity', value: privateKeyToProtobuf(privateKey) },
    { key: 'identity/store', value: Buffer.from(storeId) },
    { key: 'identity/boot', value: Buffer.from(String(boot)) }
  ])
  return { privateKey, peerId: peerIdFromPrivateKey(privateKey).toString() as PeerId, storeId, boot }
}

type Level = ClassicLevel<string, Uint8Array>

interface Waiting {
  readonly writes: readonly Write[]
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

class LevelStore implements Store {
  private readonly db: Level
  private readonly seal: Seal
  /** After it nothing is written any more: what a failed write left behind is not known until the store is opened again. */
  private failure: ShoalError | undefined
  private queue: Waiting[] = []
  private running: Promise<void> | undefined
  private closed = false

  constructor(db: Level, seal: Seal) {
    this.db = db
    this.seal = seal
  }

  async *read(prefix: string): AsyncGenerator<{ key: string; value: Uint8Array }> {
    try {
      for await (const [key, value] of this.db.iterator({ gte: prefix, lt: afterPrefix(prefix) })) {
        if (key !== sealKey) yield { key, value }
      }
    } catch (error) {
      throw diskError('the store cannot be read', error)
    }
  }

  write(writes: readonly Write[]): Promise<void> {
    if (this.closed) return Promise.reject(new ShoalError('SHOAL_CLOSED', 'the store is closed'))
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.queue.push({ writes, resolve, reject })
    this.running ??= this.run()
    return promise
  }

  async close(): Promise<void> {
    this.closed = true
    await this.running
    await this.seal.close()
    await this.db.close()
  }

  private async run(): Promise<void> {
    // Callers of the same turn get into the first group too.
    await Promise.resolve()
    while (this.queue.length > 0) {
      const group = this.takeGroup()
      try {
        if (this.failure !== undefined) throw this.failure
        const writes = group.flatMap((waiting) => waiting.writes)
        const sealed = { key: sealKey, value: this.seal.next(writes) }
        await this.db.batch([...writes, sealed].map(operation), { sync: true })
        this.seal.synced()
        for (const waiting of group) waiting.resolve()
      } catch (error) {
        this.failure ??= diskError('the store cannot be written', error)
        for (const waiting of group) waiting.reject(this.failure)
      }
    }
    this.running = undefined
  }

  private takeGroup(): Waiting[] {
    let count = 0
    let end = 0
    while (end < this.queue.length && count < groupWritesMax) count += this.queue[end++]?.writes.length ?? 0
    return this.queue.splice(0, end)
  }
}

function operation({ key, value }: Write) {
  return value === undefined ? ({ type: 'del', key } as const) : ({ type: 'put', key, value } as const)
}

class MemoryStore implements Store {
  private readonly map = new Map<string, Uint8Array>()
  private closed = false

  async *read(prefix: string): AsyncGenerator<{ key: string; value: Uint8Array }> {
    const keys = [...this.map.keys()].filter((key) => key.startsWith(prefix)).sort()
    for (const key of keys) {
      const value = this.map.get(key)
      if (value !== undefined) yield { key, value }
    }
  }

  write(writes: readonly Write[]): Promise<void> {
    if (this.closed) return Promise.reject(new ShoalError('SHOAL_CLOSED', 'the store is closed'))
    for (const { key, value } of writes) {
      if (value === undefined) this.map.delete(key)
      else this.map.set(key, value)
    }
    return Promise.resolve()
  }

  async close(): Promise<void> {
    this.closed = true
  }
}

function openError(folder: string, error: unknown): ShoalError {
  if (error instanceof ShoalError) return error
  const cause = (error as { cause?: unknown }).cause
  const codes = [error, cause].map((one) => (one as { code?: unknown } | undefined)?.code)
  if (codes.includes('LEVEL_LOCKED')) {
    const advice = 'stop it, or choose another --data folder'
    return new ShoalError('SHOAL_DATA_IN_USE', `another node runs on ${folder}; ${advice}`, { cause: error })
  }
  const reason = explainError(cause ?? error)
  // A file that others of the store name is not there.
  const isMissing = /does not exist \(create_if_missing|MANIFEST-\d+: No such file/.test(reason)
  if (codes.includes('LEVEL_CORRUPTION') || isMissing) return damaged(folder, reason, error)
  return diskError(
    `${folder} cannot be opened; make room there, or choose a folder that this user may write`,
    error
  )
}

function damaged(folder: string, reason: string, cause?: unknown): ShoalError {
  const advice = `move ${join(folder, 'store')} away to begin anew, as another node`
  return new ShoalError('SHOAL_DAMAGED', `the store in ${folder} is damaged (${reason}); ${advice}`, {
    cause
  })
}

/** Node's reason is one level deeper in LevelDB's errors. */
function diskError(what: string, error: unknown): ShoalError {
  const cause = (error as { cause?: unknown }).cause ?? error
  return new ShoalError('SHOAL_DISK', `${what} (${explainError(cause)})`, { cause: error })
}
