/**
 * What the tasks of one run have said while they ran, as their pool remembers it.
 *
 * Not here: how they say it (context.ts), and whom it reaches (runner.ts).
 * What a task printed is told with its outcome, however it ends: also of one that was ended by force it is known.
 */
import { StringDecoder } from 'node:string_decoder'
import { type Batch, encodeOutcome, pack, readOutcomeHeader, STATUS, valueAt } from '../batch.ts'
import { type TaskWord, wordCharsMax, wordsMax } from '../messages.ts'
import { type Output, outputCharsMax, silence, withOutput } from '../output.ts'
import type { ExecutorEvent } from './executor.ts'
import type { Word } from './protocol.ts'

/** Between two tellings. */
const tellEveryMs = 100
/** Between two tellings of how far a task is that says nothing new: somebody may have begun to watch. */
const repeatMs = 2_000
/** A task says how much was cut in one word more. */
const charsMax = outputCharsMax + 100
/** Of a word of progress. */
export const progressCharsMax = 200

/** Said and not yet told. */
interface Fresh {
  fraction: number
  text: string
  stdout: string
  stderr: string
}

/** A run, as far as its tasks are heard. */
export interface Speaking {
  readonly batch: { readonly run: number; readonly inputs: Batch }
  /** 1 for each position whose end was reported. */
  readonly reported: Uint8Array
  /** Few tasks say anything. */
  words: Words | undefined
}

/** Tells what running tasks say, not word by word. */
export class Talk {
  readonly #onEvent: (event: ExecutorEvent) => void
  readonly #talking = new Set<Speaking>()
  readonly #progressing = new Set<Speaking>()
  #timer: NodeJS.Timeout | undefined
  #repeatTimer: NodeJS.Timeout | undefined

  constructor(onEvent: (event: ExecutorEvent) => void) {
    this.#onEvent = onEvent
  }

  heard(run: Speaking, word: Word): void {
    // Of a task that ended, or never was, nothing is believed.
    if (run.reported[word.position] !== 0) return
    run.words ??= new Words()
    run.words.heard(word)
    if (word.kind === 'listens') return
    this.#talking.add(run)
    if (word.kind === 'progress') this.#progressing.add(run)
    this.#timer ??= setTimeout(() => this.#tell(), tellEveryMs).unref()
  }

  /** For the bytes that a program prints. */
  listener(run: Speaking, position: number): (stream: 'stdout' | 'stderr', chunk: Uint8Array) => void {
    const decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') }
    return (stream, chunk) => {
      const text = decoders[stream].write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
      this.heard(run, { kind: 'printed', run: run.batch.run, position, stream, text })
    }
  }

  /** Tells what is left to tell of a run, as one of its tasks is about to end. */
  flush(run: Speaking): void {
    if (this.#talking.delete(run)) this.#say(run, run.words?.news(run.reported))
  }

  close(): void {
    clearTimeout(this.#timer)
    clearTimeout(this.#repeatTimer)
  }

  /** What was said in the meantime; those that have ended tell it with their outcome. */
  #tell(): void {
    this.#timer = undefined
    for (const run of this.#talking) this.#say(run, run.words?.news(run.reported))
    this.#talking.clear()
    if (this.#progressing.size > 0) this.#repeatTimer ??= setTimeout(() => this.#repeat(), repeatMs).unref()
  }

  #repeat(): void {
    this.#repeatTimer = undefined
    for (const run of this.#progressing)
      if (!this.#say(run, run.words?.progress(run.reported))) this.#progressing.delete(run)
    if (this.#progressing.size > 0) this.#repeatTimer = setTimeout(() => this.#repeat(), repeatMs).unref()
  }

  /** False if there is nothing to say. Words come with positions, and leave with indexes. */
  #say({ batch }: Speaking, words: readonly TaskWord[] = []): boolean {
    if (words.length === 0) return false
    const told = words.map((word) => ({ ...word, index: batch.inputs.indexes[word.index] as number }))
    this.#onEvent({ kind: 'said', run: batch.run, words: told })
    return true
  }
}

interface Said {
  stdout: string
  stderr: string
  progress: { fraction: number; text: string } | undefined
  listens: boolean
  isAborted: boolean
}

export class Words {
  readonly #said = new Map<number, Said>()
  #fresh = new Map<number, Fresh>()

  heard(word: Word): void {
    const said = this.#of(word.position)
    if (word.kind === 'listens') {
      said.listens = true
      return
    }
    const fresh = this.#fresh.get(word.position) ?? { fraction: -1, text: '', stdout: '', stderr: '' }
    this.#fresh.set(word.position, fresh)
    if (word.kind === 'progress') {
      const { fraction, text } = word
      said.progress = { fraction, text }
      Object.assign(fresh, said.progress)
      return
    }
    said[word.stream] = (said[word.stream] + word.text).slice(0, charsMax)
    fresh[word.stream] = (fresh[word.stream] + word.text).slice(0, wordCharsMax)
  }

  /** What is to be told now of tasks that have not ended, by their positions. */
  news(reported: Uint8Array): TaskWord[] {
    const open = [...this.#fresh].filter(([position]) => reported[position] === 0).slice(0, wordsMax)
    this.#fresh = new Map()
    return open.map(([index, fresh]) => ({ index, ...fresh }))
  }

  /** How far tasks are that have not ended, by their positions. */
  progress(reported: Uint8Array): TaskWord[] {
    const told = [...this.#said].flatMap(([index, { progress }]) =>
      progress === undefined || reported[index] !== 0 ? [] : [{ index, ...progress, stdout: '', stderr: '' }]
    )
    return told.slice(0, wordsMax)
  }

  /** Whether the task wants to know when it is to end. */
  listens(position: number): boolean {
    return this.#said.get(position)?.listens === true
  }

  aborted(position: number): void {
    this.#of(position).isAborted = true
  }

  outputOf(position: number): Output {
    const { stdout, stderr } = this.#said.get(position) ?? silence
    return { stdout, stderr }
  }

  /** Outcomes of the tasks at these positions, with what they printed. Who was told to end and then failed is cancelled. */
  tell(positions: ArrayLike<number>, outcomes: Batch): Batch {
    const values = Array.from(positions, (position, at) => {
      const said = this.#said.get(position)
      const value = valueAt(outcomes, at)
      return said === undefined ? value : withOutput(said.isAborted ? cancelledIfFailed(value) : value, said)
    })
    return pack(outcomes.node, outcomes.indexes, values)
  }

  #of(position: number): Said {
    const before = this.#said.get(position)
    if (before) return before
    const said: Said = { stdout: '', stderr: '', progress: undefined, listens: false, isAborted: false }
    this.#said.set(position, said)
    return said
  }
}

function cancelledIfFailed(outcome: Uint8Array): Uint8Array {
  const header = readOutcomeHeader(outcome)
  if (header.status !== STATUS.error) return outcome
  return encodeOutcome({ ...header, status: STATUS.cancelled }, new Uint8Array())
}

/** User code shares the engine, and may say what it likes. */
export function isWord(message: unknown): message is Word {
  const { kind, run, position, stream, text, fraction } = Object(message) as Record<string, unknown>
  if (!Number.isSafeInteger(run) || !Number.isSafeInteger(position)) return false
  if (kind === 'listens') return true
  if (typeof text !== 'string' || text.length > charsMax) return false
  if (kind === 'progress') return Number.isFinite(fraction) && text.length <= progressCharsMax
  return kind === 'printed' && (stream === 'stdout' || stream === 'stderr')
}
