/**
 * How far work is, as one line for people: rewritten in place on a terminal, a plain line now and then elsewhere.
 *
 * Not here: whose work it is (verbs.ts, the command). Always on stderr, and written at once: a blocking client waits in its
 * thread meanwhile, and nothing that a stream keeps for later would appear.
 */
import { writeSync } from 'node:fs'
import { isatty } from 'node:tty'
import { onlyKnown } from './checks.ts'
import { type End, type Endable, endOfHandle, limited } from './endings.ts'
import type { Progress } from './types.ts'

const rewriteMs = 100
/** Between two lines where nothing can be rewritten, such as a log. */
const lineEveryMs = 5_000
const barChars = 24
const stderr = 2

/** Handles of tasks, jobs and graphs, and AsyncResults. */
export interface Watchable extends Endable {
  readonly progress: Progress
  readonly id?: string
}

export interface WatchOptions {
  /** Before the numbers. Default: the id of the handle, if it has one. */
  readonly title?: string
  /** Ends the watching with SHOAL_CANCELLED, and nothing else. */
  readonly signal?: AbortSignal
}

export function progressText({ done, total, failed }: Progress, elapsedMs: number): string {
  const ofAll = total === undefined ? `${done} done` : `${done}/${total} done`
  const rate = elapsedMs > 0 ? (done * 1_000) / elapsedMs : 0
  return `${ofAll}, ${failed} failed, ${rate.toFixed(rate < 10 ? 1 : 0)}/s`
}

/** Empty while nobody knows how much there is to do. */
export function bar({ done, total }: Progress): string {
  if (total === undefined || total === 0) return ''
  const full = Math.floor((barChars * Math.min(done, total)) / total)
  return `[${'#'.repeat(full)}${'-'.repeat(barChars - full)}] `
}

/** A line on stderr that is rewritten in place, and steps aside for others; plain lines if that is no terminal. */
export class ProgressLine {
  readonly #title: string
  readonly #isTerminal = isatty(stderr)
  readonly #startedAt = performance.now()
  #text = ''
  #shownAt = 0
  #shown = ''
  #isShown = false
  #later: ReturnType<typeof setTimeout> | undefined

  constructor(title: string) {
    this.#title = title
  }

  /** Not at every change, but always the last one. */
  show(progress: Progress): void {
    const now = performance.now()
    const text = progressText(progress, now - this.#startedAt)
    this.#text = `${this.#title}: ${this.#isTerminal ? bar(progress) : ''}${text}`
    const everyMs = this.#isTerminal ? rewriteMs : lineEveryMs
    const waits = this.#shown === '' ? 0 : this.#shownAt + everyMs - now
    this.#later ??= setTimeout(() => this.#write(), Math.max(0, waits))
    // Whoever has nothing else to do need not wait for it.
    this.#later.unref()
  }

  /** Clears the line, so that something else can be printed; the next change shows it again. */
  aside(): void {
    if (this.#isShown && this.#isTerminal) say('\r\x1b[K')
    this.#isShown = false
  }

  /** Leaves the last state to be read. */
  end(): void {
    if (this.#text !== '') this.#write()
    if (this.#isShown && this.#isTerminal) say('\n')
    clearTimeout(this.#later)
  }

  #write(): void {
    clearTimeout(this.#later)
    this.#later = undefined
    this.#shownAt = performance.now()
    this.#isShown = true
    if (this.#isTerminal) say(`\r\x1b[K${this.#text}`)
    else if (this.#shown !== this.#text) say(`${this.#text}\n`)
    this.#shown = this.#text
  }
}

/** A reader that is gone or slow misses something, and nothing else happens. */
function say(text: string): void {
  try {
    writeSync(stderr, text)
  } catch {}
}

/** See `Client.watch`. */
export async function watch(handle: Watchable, options: WatchOptions = {}): Promise<Progress> {
  onlyKnown(options, ['title', 'signal'])
  const { title, signal } = options
  const end = endOfHandle(handle)
  const line = new ProgressLine(title ?? handle.id ?? 'work')
  const over = Promise.withResolvers<void>()
  const leave = end.on((change) => {
    if (change === 'over') over.resolve()
  })
  if (end.isOver) over.resolve()
  try {
    do line.show(handle.progress)
    while (!(await limited(over.promise, rewriteMs, signal)))
    return handle.progress
  } finally {
    leave()
    line.show(handle.progress)
    line.end()
  }
}

/** Of a single task, which is done or not; a handle may be over without that, as its client was closed. */
export const progressOfOne = (isDone: boolean, { hasFailed }: End): Progress => ({
  done: Number(isDone),
  total: 1,
  failed: Number(isDone && hasFailed)
})
