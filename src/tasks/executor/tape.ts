/**
 * A small file that the process of an engine and its pool have in common, in place of shared memory: what began, what ended,
 * and how often the pool had something to say.
 *
 * Not here: what follows from it (child.ts, child-port.ts). A file outlives whoever wrote it, however it died.
 * Who begins a task first writes so and then looks for a word of the pool; the pool first leaves its word and then looks what
 * began. A read that follows a write sees it, so at least one of the two notices the other (Dekker), and no task is both
 * begun and taken back. It costs a write and a read per task, and nobody has to answer, which a loop never would.
 */
import { closeSync, openSync, readSync, statSync, unlinkSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deskBodyBytes, outcomesOnDeskMax } from './desk.ts'
import type { Ended } from './protocol.ts'

/** The pool's word has a page of its own; behind it lie the records of the engine. */
const RECORDS_AT = 4_096
const WORD_BYTES = 8
/** epoch u32, kind u32, order f64, position u32, size u32, startedAt f64; then the body; then epoch u32, position u32. */
const HEAD_BYTES = 32
const TAIL_BYTES = 8
const BEGUN = 1
const ENDED = 2
/** Each outcome has one record of its beginning and one of its end; the body is padded. */
const recordsBytesMax = deskBodyBytes + (outcomesOnDeskMax + 1) * (2 * (HEAD_BYTES + TAIL_BYTES) + 8)
/** Reads that may meet a write half way. */
const READS_MAX = 1_000

/** Which task began last: the `order`-th run that the engine was given, and its position there. */
export interface Begun {
  readonly order: number
  readonly position: number
  readonly startedAt: number
}

export interface Recorded {
  /** The task that began last. */
  readonly last: Begun | undefined
  /** The task that began last, unless its end is recorded. */
  readonly running: Begun | undefined
  /** What ended and may not have been sent. All of one run. */
  readonly ended: { order: number; outcomes: Pick<Ended, 'positions' | 'ends' | 'body'> } | undefined
}

/** Opens a file that has no name any more: it is gone with the last process that has it open. */
export function createTape(): number {
  const folder = statSync('/dev/shm', { throwIfNoEntry: false })?.isDirectory() ? '/dev/shm' : tmpdir()
  const path = join(folder, `shoal-${process.pid}-${crypto.randomUUID()}`)
  const fd = openSync(path, 'wx+', 0o600)
  unlinkSync(path)
  writeSync(fd, new Uint8Array(RECORDS_AT), 0, RECORDS_AT, 0)
  return fd
}

export const closeTape: (fd: number) => void = closeSync

const wordBytes = new Uint8Array(WORD_BYTES)
const word = new Float64Array(wordBytes.buffer)

/** Counts what the pool said so far. */
export function readWord(fd: number): number {
  readSync(fd, wordBytes, 0, WORD_BYTES, 0)
  return word[0] as number
}

export function writeWord(fd: number, count: number): void {
  word[0] = count
  writeSync(fd, wordBytes, 0, WORD_BYTES, 0)
}

/** The engine's pen. */
export class TapeWriter {
  readonly #fd: number
  readonly #bytes = new Uint8Array(recordsBytesMax)
  readonly #view = new DataView(this.#bytes.buffer)
  #epoch = 0
  #written = 0
  #end = 0
  #begun: Begun | undefined

  constructor(fd: number) {
    this.#fd = fd
  }

  /** On return it is written, and so is the end of the one before. */
  begin(begun: Begun, isFresh: boolean): void {
    this.#begun = begun
    if (isFresh) this.#restart()
    this.#record(BEGUN, begun, new Uint8Array())
    this.#write()
  }

  /** Written with the next beginning: until then no code of a user runs that could end the process. */
  end(outcome: Uint8Array): void {
    if (this.#begun !== undefined) this.#record(ENDED, this.#begun, outcome)
    this.#begun = undefined
  }

  /** Everything that ended was sent. */
  clear(): void {
    if (this.#begun !== undefined) this.begin(this.#begun, true)
  }

  #restart(): void {
    this.#epoch++
    this.#written = this.#end = 0
  }

  #record(kind: number, { order, position, startedAt }: Begun, body: Uint8Array): void {
    const [view, at] = [this.#view, this.#end]
    view.setUint32(at, this.#epoch, true)
    view.setUint32(at + 4, kind, true)
    view.setFloat64(at + 8, order, true)
    view.setUint32(at + 16, position, true)
    view.setUint32(at + 20, body.byteLength, true)
    view.setFloat64(at + 24, startedAt, true)
    this.#bytes.set(body, at + HEAD_BYTES)
    const tail = at + HEAD_BYTES + padded(body.byteLength)
    view.setUint32(tail, this.#epoch, true)
    view.setUint32(tail + 4, position, true)
    this.#end = tail + TAIL_BYTES
  }

  #write(): void {
    const length = this.#end - this.#written
    writeSync(this.#fd, this.#bytes, this.#written, length, RECORDS_AT + this.#written)
    this.#written = this.#end
  }
}

const padded = (size: number): number => (size + 7) & ~7

const NOTHING: Recorded = { last: undefined, running: undefined, ended: undefined }

/** All that happens with it happens in one turn. */
const shared = new Uint8Array(recordsBytesMax)

/** What the engine has written. What it is writing in this moment counts as not written. */
export function readTape(fd: number): Recorded {
  for (let tries = 0; tries < READS_MAX; tries++) {
    const size = readSync(fd, shared, 0, recordsBytesMax, RECORDS_AT)
    const recorded = parseTape(shared.subarray(0, size))
    if (recorded !== undefined) return recorded
  }
  return NOTHING
}

/** What records say, whoever wrote them; `undefined` if already the first one is not whole. */
export function parseTape(bytes: Uint8Array): Recorded | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.byteLength === 0) return NOTHING
  if (bytes.byteLength < HEAD_BYTES) return undefined
  const epoch = view.getUint32(0, true)
  const [positions, parts]: [number[], Uint8Array[]] = [[], []]
  let last: Begun | undefined
  let running: Begun | undefined
  let order = 0
  let at = 0
  for (let next = endOf(view, at, epoch); next !== undefined; next = endOf(view, at, epoch)) {
    const position = view.getUint32(at + 16, true)
    order = view.getFloat64(at + 8, true)
    if (view.getUint32(at + 4, true) === BEGUN) {
      last = running = { order, position, startedAt: view.getFloat64(at + 24, true) }
    } else {
      running = undefined
      positions.push(position)
      parts.push(bytes.subarray(at + HEAD_BYTES, at + HEAD_BYTES + view.getUint32(at + 20, true)))
    }
    at = next
  }
  if (at === 0) return undefined
  if (positions.length === 0) return { last, running, ended: undefined }
  let size = 0
  const ends = Uint32Array.from(parts, (part) => (size += part.byteLength))
  const outcomes = {
    positions: Uint32Array.from(positions),
    ends,
    body: new Uint8Array(Buffer.concat(parts))
  }
  return { last, running, ended: { order, outcomes } }
}

/** Where the record at `at` ends, if it is there and whole. */
function endOf(view: DataView, at: number, epoch: number): number | undefined {
  const room = view.byteLength - at - HEAD_BYTES - TAIL_BYTES
  if (room < 0 || view.getUint32(at, true) !== epoch) return undefined
  const size = view.getUint32(at + 20, true)
  if (size > room) return undefined
  const tail = at + HEAD_BYTES + padded(size)
  if (tail + TAIL_BYTES > view.byteLength) return undefined
  const isWhole =
    view.getUint32(tail, true) === epoch && view.getUint32(tail + 4, true) === view.getUint32(at + 16, true)
  return isWhole ? tail + TAIL_BYTES : undefined
}
