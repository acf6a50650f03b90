/**
 * One transfer of data, either way: who has it sends its list, then every chunk that is asked for.
 *
 * Not here: from whom (fetcher.ts), where it lies (datafiles.ts). Whoever receives asks chunk by chunk, a few ahead, and checks
 * each, so the sender needs no trust and no memory, and what was received stays received when the sender is lost.
 */
import { knownCode, ShoalError } from '../errors.ts'
import type { DataId, PeerId } from '../ids.ts'
import { type Chunks, isChunk, isListOf } from './chunks.ts'
import type { Talk } from './talk.ts'

/** Chunks that are asked for and were not taken yet. */
const aheadMax = 4
/** Sent chunks whose memory is used again once the other side says that it has them; of more, it has its time. */
const unheardMax = 16
/** The other side says nothing though it is its turn. */
const silenceMs = 20_000
/** A reader that is slow holds its sender for so long at most. */
export const slowReaderMs = 600_000

/** A chunk that is not what its name says. */
export class DamagedError extends Error {
  override readonly name = 'DamagedError'
}

/** The other side does not send it. `at`: who has it as far as it knows. */
export class ElsewhereError extends Error {
  override readonly name = 'ElsewhereError'
  readonly at: readonly PeerId[]

  constructor(reason: string, at: readonly PeerId[]) {
    super(at.length > 0 ? 'it sent us on to others' : `it does not have it${reason && ` (${reason})`}`)
    this.at = at
  }
}

/** Asks for it. Rejects if the other side does not have it. */
export async function askFor(talk: Talk, id: DataId): Promise<Uint8Array> {
  talk.say({ kind: 'ask', id })
  return await listOf(talk, id)
}

/** What the other side says its chunks are. */
export async function listOf(talk: Talk, id: DataId): Promise<Uint8Array> {
  const word = await talk.word(silenceMs)
  if (word.kind === 'absent') throw new ElsewhereError(word.reason, word.at)
  if (word.kind !== 'list' || !isListOf(word.hashes, id))
    throw new DamagedError('it sent no list of these bytes')
  return word.hashes
}

export interface Piece {
  readonly index: number
  readonly bytes: Uint8Array
}

/** The chunks of these indexes, in order, each checked. Asks for no more than are taken. */
export async function* take(
  talk: Talk,
  id: DataId,
  list: Uint8Array,
  indexes: Iterable<number>
): AsyncGenerator<Piece> {
  const source = indexes[Symbol.iterator]()
  const asked: number[] = []
  let taken = 0
  const askAhead = (): void => {
    while (asked.length < aheadMax) {
      const next = source.next()
      if (next.done) return
      asked.push(next.value)
      talk.say({ kind: 'want', index: next.value, taken })
    }
  }
  for (askAhead(); asked.length > 0; askAhead()) {
    const word = await talk.word(silenceMs)
    if (word.kind === 'absent') throw new Error(`it sends no more (${word.reason})`)
    const index = asked.shift() as number
    if (word.kind !== 'chunk' || word.index !== index) throw new Error('it sent something else')
    const bytes = await talk.frame(silenceMs)
    talk.received(bytes.byteLength)
    taken++
    if (!isChunk(bytes, list, id, index)) {
      talk.count('data-chunks-damaged')
      talk.say({ kind: 'damaged', index })
      throw new DamagedError(`chunk ${index} was damaged`)
    }
    yield { index, bytes }
  }
}

/**
 * Sends what is asked for, until the other side says something else, which is returned: `kept` or `refused` after an offer,
 * `damaged` if what was sent is not what it should be. Rejects when the stream ends.
 */
export async function give(
  talk: Talk,
  chunks: Chunks
): Promise<{ kind: 'kept'; copies: number } | { kind: 'damaged' }> {
  talk.say({ kind: 'list', hashes: chunks.list })
  /** Chunks that may still be on their way; of others the memory is free. */
  const sent: Uint8Array[] = []
  let freed = 0
  for (;;) {
    const word = await talk.word(slowReaderMs)
    switch (word.kind) {
      case 'want':
        for (; freed < word.taken && sent.length > 0; freed++) chunks.free?.(sent.shift() as Uint8Array)
        break
      case 'kept':
        for (const bytes of sent) chunks.free?.(bytes)
        return { kind: 'kept', copies: word.copies }
      case 'damaged':
        return { kind: 'damaged' }
      case 'refused':
        throw new ShoalError(knownCode(word.code), word.message)
      default:
        throw new Error('it said something else')
    }
    const bytes = await chunks.read(word.index).catch((error: unknown) => {
      talk.say({ kind: 'absent', reason: String(error).slice(0, 400), at: [] })
      throw error
    })
    if (sent.push(bytes) > unheardMax) {
      sent.shift()
      freed++
    }
    await talk.sendChunk(word.index, bytes)
  }
}
