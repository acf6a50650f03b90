/**
 * One transfer of data, either way: who has it sends its list, then every chunk that is asked for.
 *
 * Not here: from whom (data.ts), where it lies (datafiles.ts). Whoever receives asks chunk by chunk, a few ahead, and checks
 * each, so the sender needs no trust and no memory, and what was received stays received when the sender is lost.
 */
import { knownCode, ShoalError } from '../errors.ts'
import type { DataId, PeerId } from '../ids.ts'
import { type Chunks, chunkLength, chunksIn, isChunk, isListOf, soleList } from './chunks.ts'
import { NearFiles, type Place } from './near.ts'
import { pathMax, type Talk, type Word, type WordOf } from './talk.ts'

/** Chunks that are asked for and were not taken yet. */
const aheadMax = 4
/** Sent chunks whose memory is used again once the other side says that it has them; of more, it has its time. */
const unheardMax = 16
/** What is smaller is sent sooner than a file is opened. */
const nearBytesMin = 32_768
/** Chunks of a transfer that were not where they were said to lie; after that they are sent. */
const missesMax = 2
/** So often in a row was not read what was offered in a file; then it is written to one only when that is asked for. */
const unreadMax = 8
/** Said by who offers what lies in no file. */
const nowhere = { path: '', offset: 0 }
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
  /** Nor is it worth while to ask again. */
  readonly isNowhere: boolean
  readonly reason: string

  constructor({ reason, at, isNowhere }: WordOf<'absent'>) {
    super(at.length > 0 ? 'it sent us on to others' : `it does not have it${reason && ` (${reason})`}`)
    this.at = at
    this.isNowhere = isNowhere
    this.reason = reason
  }
}

/** What was said of data that was asked for. */
export interface Promised {
  readonly list: Uint8Array
  /** The word of its only chunk, which comes unasked. */
  readonly first?: Word | undefined
  /** Its only chunk: nobody was asked. */
  readonly found?: Uint8Array
}

/** What is one chunk, and lies under its name at the other end, on this machine. */
async function lookFor(talk: Talk, id: DataId): Promise<Promised | undefined> {
  if (chunksIn(id) > 1 || talk.nearness.folder === undefined || !mayBeNear(talk, id, 0)) return undefined
  const files = new NearFiles(talk.nearness)
  try {
    const list = soleList(id)
    const found = await files.look(id, (bytes) => isChunk(bytes, list, id, 0))
    if (found === undefined) return undefined
    talk.received(found.byteLength)
    return { list, found }
  } finally {
    await files.close()
  }
}

/** Of who has all of it now. */
export function thank(talk: Talk, { found }: Promised): void {
  if (found === undefined) talk.say({ kind: 'kept', copies: 1 })
}

/** Asks for it, if it cannot be found by its name. Rejects if the other side does not have it. */
export async function askFor(talk: Talk, id: DataId, { mayLook = true } = {}): Promise<Promised> {
  const seen = mayLook ? await lookFor(talk, id) : undefined
  if (seen !== undefined) return seen
  const isBrief = chunksIn(id) === 1
  const near = isBrief && mayBeNear(talk, id, 0) ? 1 : 0
  talk.say({ kind: 'ask', id, isBrief, near })
  const word = await talk.word(silenceMs)
  const isChunk = word.kind === 'chunk' || (word.kind === 'place' && near === 1)
  // An earlier version says the list in any case.
  return isBrief && isChunk ? { list: soleList(id), first: word } : { list: listIn(word, id) }
}

/** What the other side says its chunks are. */
export const listOf = async (talk: Talk, id: DataId): Promise<Uint8Array> =>
  listIn(await talk.word(silenceMs), id)

const mayBeNear = (talk: Talk, id: DataId, index: number): boolean =>
  talk.nearness.isNear && chunkLength(id, index) >= nearBytesMin

function listIn(word: Word, id: DataId): Uint8Array {
  if (word.kind === 'absent') throw new ElsewhereError(word)
  if (word.kind !== 'list' || !isListOf(word.hashes, id))
    throw new DamagedError('it sent no list of these bytes')
  return word.hashes
}

interface Asked {
  readonly index: number
  /** 1: told where it lies is enough. */
  readonly near: number
}

interface Answer {
  readonly index: number
  readonly place?: Place
  readonly bytes?: Uint8Array
}

export interface Piece {
  readonly index: number
  readonly bytes: Uint8Array
}

/** The chunks of these indexes, in order, each checked. Asks for no more than are taken. If there is a `first`, they are [0]. */
export async function* take(
  talk: Talk,
  id: DataId,
  { list, first, found }: Promised,
  indexes: Iterable<number>
): AsyncGenerator<Piece> {
  if (found !== undefined) return yield { index: 0, bytes: found }
  const source = indexes[Symbol.iterator]()
  const files = new NearFiles(talk.nearness)
  // Who takes one chunk and never asks for the next does not end this.
  const forget = talk.whenOver(() => void files.close().catch(() => {}))
  /** In order; `again` comes before what is left of the source. */
  let asked: Asked[] = []
  let again: number[] = []
  let taken = 0
  let misses = 0
  let unread = first
  const isNear = (index: number): boolean => misses < missesMax && mayBeNear(talk, id, index)
  const askAhead = (): void => {
    while (asked.length < aheadMax) {
      const index = again.shift() ?? source.next().value
      if (index === undefined) return
      const near = unread !== undefined || isNear(index) ? 1 : 0
      asked.push({ index, near })
      if (unread === undefined) talk.say({ kind: 'want', index, taken, near })
    }
  }
  const next = async ({ index, near }: Asked): Promise<Answer> => {
    const word = unread ?? (await talk.word(silenceMs))
    unread = undefined
    taken++
    if (word.kind === 'absent') throw new Error(`it sends no more (${word.reason})`)
    if (word.kind === 'place' && word.index === index && near === 1) return { index, place: word }
    if (word.kind !== 'chunk' || word.index !== index) throw new Error('it sent something else')
    return { index, bytes: await talk.frame(silenceMs) }
  }
  try {
    for (askAhead(); asked.length > 0; askAhead()) {
      const { index, place, bytes: sent } = await next(asked.shift() as Asked)
      const bytes = sent ?? (place && (await files.read(place, chunkLength(id, index))))
      if (bytes !== undefined) talk.received(bytes.byteLength)
      if (bytes !== undefined && isChunk(bytes, list, id, index)) {
        if (place !== undefined) files.saw(id, place)
        yield { index, bytes }
        continue
      }
      if (sent !== undefined) {
        talk.count('data-chunks-damaged')
        talk.say({ kind: 'damaged', index })
        throw new DamagedError(`chunk ${index} was damaged`)
      }
      // It may have been renamed just now.
      files.missed()
      misses++
      again = [index, ...asked.map((late) => late.index), ...again]
      for (const late of asked) await next(late)
      asked = []
    }
  } finally {
    forget()
    await files.close()
  }
}

/** Sees to it that the other side keeps it, as `give` does. */
export async function offer(
  talk: Talk,
  chunks: Chunks,
  plan: Pick<WordOf<'offer'>, 'copies' | 'pinMs' | 'isForJob'>
): ReturnType<typeof give> {
  const { id } = chunks
  const isFit = chunksIn(id) === 1 && mayBeNear(talk, id, 0) && talk.nearness.unread < unreadMax
  const place = isFit ? await chunks.place?.(0) : undefined
  const { path, offset } = place !== undefined && place.path.length <= pathMax ? place : nowhere
  talk.say({ kind: 'offer', id, ...plan, path, offset })
  return await give(talk, chunks, { place })
}

/** What was offered: that its only chunk lies in a file is as if it was said. */
export function offered(talk: Talk, { id, path, offset }: WordOf<'offer'>, list: Uint8Array): Promised {
  const lies = path !== '' && chunksIn(id) === 1 && mayBeNear(talk, id, 0)
  return { list, first: lies ? { kind: 'place', index: 0, path, offset } : undefined }
}

/**
 * Sends what is asked for, until the other side says something else, which is returned: `kept` or `refused` after an offer,
 * `damaged` if what was sent is not what it should be. Rejects when the stream ends.
 */
export async function give(
  talk: Talk,
  chunks: Chunks,
  { ask, place }: { ask?: Pick<WordOf<'ask'>, 'isBrief' | 'near'>; place?: Place | undefined } = {}
): Promise<{ kind: 'kept'; copies: number } | { kind: 'damaged' }> {
  const sent = new Sent()
  let isUnheard = place !== undefined
  if (place !== undefined) sent.add({ inFile: true, free: place.free })
  try {
    if (ask?.isBrief && chunksIn(chunks.id) === 1)
      await send(talk, chunks, { index: 0, near: ask.near }, sent)
    else talk.say({ kind: 'list', hashes: chunks.list })
    for (;;) {
      const word = await talk.word(slowReaderMs)
      switch (word.kind) {
        case 'want':
          if (isUnheard) talk.nearness.unread++
          isUnheard = false
          sent.taken(word.taken)
          await send(talk, chunks, word, sent)
          break
        case 'kept':
          if (isUnheard) talk.nearness.unread = 0
          sent.taken(Number.POSITIVE_INFINITY)
          return { kind: 'kept', copies: word.copies }
        case 'damaged':
          return { kind: 'damaged' }
        case 'refused':
          throw new ShoalError(knownCode(word.code), word.message)
        default:
          throw new Error('it said something else')
      }
    }
  } finally {
    sent.end()
  }
}

async function send(
  talk: Talk,
  chunks: Chunks,
  { index, near }: Pick<WordOf<'want'>, 'index' | 'near'>,
  sent: Sent
): Promise<void> {
  const place = near && talk.nearness.isNear ? await chunks.place?.(index) : undefined
  if (place !== undefined) {
    if (talk.sendPlace(index, place, chunkLength(chunks.id, index)))
      return sent.add({ inFile: true, free: place.free })
    place.free?.()
  }
  const bytes = await chunks.read(index).catch((error: unknown) => {
    talk.say({ kind: 'absent', reason: String(error).slice(0, 400), at: [], isNowhere: false })
    throw error
  })
  sent.add({ inFile: false, free: () => chunks.free?.(bytes) })
  await talk.sendChunk(index, bytes)
}

interface OnItsWay {
  readonly inFile: boolean
  readonly free: (() => void) | undefined
}

/** Chunks whose memory, or place in a file, may still be read. */
class Sent {
  readonly #sent: OnItsWay[] = []
  #freed = 0

  add(one: OnItsWay): void {
    if (this.#sent.push(one) <= unheardMax) return
    this.#freed++
    const oldest = this.#sent.shift()
    if (oldest?.inFile) oldest.free?.()
  }

  /** The other side is done with so many. */
  taken(count: number): void {
    for (; this.#freed < count && this.#sent.length > 0; this.#freed++) this.#sent.shift()?.free?.()
  }

  /** Memory may be on its way for longer than the talk; what lies in a file is checked by who reads it. */
  end(): void {
    for (const { inFile, free } of this.#sent.splice(0)) if (inFile) free?.()
  }
}
