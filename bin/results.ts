/**
 * Takes the results of a job down in input order: to stdout or a file, with failures and progress on stderr.
 *
 * Not here: how one value looks (output.ts), who made the job (commands/map.ts and commands/result.ts).
 * A file appears under its name only when it is complete, so that nobody takes a half for the whole.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream, rmSync, type Stats } from 'node:fs'
import { open, realpath, rename, rm, stat } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { ProgressLine } from '../src/client/progress.ts'
import type { JobHandle, Printed } from '../src/client/types.ts'
import { type ProgramExit, ShoalError, TaskError } from '../src/errors.ts'
import { isProgramResult, stdoutBytesMax } from '../src/tasks/executor/program.ts'
import { EXIT, isDebugging, usageError } from './failure.ts'
import { counted, jsonOf, plain, textOf } from './output.ts'

/** `text`: strings as they are. `lines`: JSON, one line each. `one`: one JSON object of all. */
export type Format = 'text' | 'lines' | 'one'

export const resultFlags = {
  'json-lines': { type: 'boolean', default: false },
  out: { type: 'string' },
  progress: { type: 'boolean' },
  verbose: { type: 'boolean', short: 'v', default: false }
} as const

export interface ResultValues {
  readonly json: boolean
  readonly 'json-lines': boolean
  readonly progress?: boolean | undefined
  readonly verbose?: boolean | undefined
}

/** Where results are written. */
export interface Outlet {
  /** Resolves when more can be taken. */
  write(text: string | Uint8Array): Promise<void>
  /** Hands on what was collected. */
  flush(): void
  /** Called before anything appears. */
  onAppear: () => void
  /** Nobody reads any more. */
  readonly isBroken: boolean
  /** Called once, as soon as that is known: the next result may be long in coming. */
  onBroken: () => void
  /** All was written. */
  finish(): Promise<void>
  /** What was written counts for nothing. */
  drop(): Promise<void>
}

const bufferedMax = 1 << 16

/** Collects what is written in one turn. */
class StreamOutlet implements Outlet {
  readonly #stream: Writable
  readonly #close: (isComplete: boolean) => Promise<void>
  readonly #what: string
  onAppear = (): void => {}
  onBroken = (): void => {}
  #text = ''
  #isScheduled = false
  #failure: Error | undefined

  constructor(stream: Writable, close: (isComplete: boolean) => Promise<void>, what = 'results') {
    this.#stream = stream
    this.#close = close
    this.#what = what
    stream.on('error', (error) => {
      if (this.#failure !== undefined) return
      this.#failure = error
      if (this.isBroken) this.onBroken()
    })
  }

  get isBroken(): boolean {
    return (this.#failure as { code?: unknown } | undefined)?.code === 'EPIPE'
  }

  async write(text: string | Uint8Array): Promise<void> {
    this.#check()
    if (typeof text !== 'string') {
      this.flush()
      if (this.#failure === undefined && !this.#stream.write(text)) await this.#drained()
      return
    }
    this.#text += text
    if (this.#text.length < bufferedMax) {
      if (this.#isScheduled) return
      this.#isScheduled = true
      setImmediate(() => {
        this.#isScheduled = false
        this.flush()
      })
      return
    }
    if (!this.#hand()) await this.#drained()
  }

  async finish(): Promise<void> {
    this.flush()
    // What cannot be written is known only when it was tried.
    await new Promise<void>((resolve) => this.#stream.write('', (error) => this.#tried(error, resolve)))
    this.#check()
    if (!this.isBroken) await this.#close(true)
  }

  async drop(): Promise<void> {
    this.#text = ''
    await this.#close(false)
  }

  flush(): void {
    this.#hand()
  }

  async #drained(): Promise<void> {
    await once(this.#stream, 'drain').catch(() => {})
  }

  #tried(error: Error | null | undefined, then: () => void): void {
    this.#failure ??= this.#stream.errored ?? error ?? undefined
    then()
  }

  /** False if the stream wants a pause. */
  #hand(): boolean {
    const text = this.#text
    this.#text = ''
    if (this.#failure !== undefined || text === '') return true
    this.onAppear()
    return this.#stream.write(text)
  }

  #check(): void {
    const failure = this.#failure
    if (failure === undefined || this.isBroken) return
    throw new ShoalError(
      'SHOAL_DISK',
      `${this.#what} cannot be written (${failure.message}); make room, then try again`,
      {
        cause: failure
      }
    )
  }
}

/** To stdout, or to a file that is there already if it cannot be written: rejects with SHOAL_BAD_OPTION before any work is done. */
export async function openOutlet(file: string | undefined): Promise<Outlet> {
  if (file === undefined) return stdoutOf()
  try {
    const there = await stat(file).catch(() => undefined)
    const target = there === undefined ? file : await realpath(file)
    return there === undefined || there.isFile() ? await besides(target, there) : await straightTo(target)
  } catch (error) {
    const { code, message } = error as { code?: string; message: string }
    throw usageError(
      `--out ${file} cannot be written (${code ?? message}); give a file in a folder of yours`,
      error
    )
  }
}

/** `what` is written there, in words. */
export const stdoutOf = (what?: string): Outlet => new StreamOutlet(process.stdout, async () => {}, what)

/** Under another name until it is complete. */
async function besides(target: string, before: Stats | undefined): Promise<Outlet> {
  const part = `${target}.${randomBytes(4).toString('hex')}.part`
  const handle = await open(part, 'wx', before === undefined ? 0o666 : before.mode & 0o777)
  const stream = handle.createWriteStream()
  // A command that is ended halfway leaves nothing either.
  process.once('exit', () => rmSync(part, { force: true }))
  return new StreamOutlet(stream, async (isComplete) => {
    stream.end()
    await ended(stream, isComplete)
    if (isComplete) await rename(part, target)
    else await rm(part, { force: true })
  })
}

/** A device or a pipe must not be replaced. */
async function straightTo(target: string): Promise<Outlet> {
  const stream = createWriteStream(target)
  await once(stream, 'open')
  return new StreamOutlet(stream, async (isComplete) => {
    stream.end()
    await ended(stream, isComplete)
  })
}

/** Whether it ended well matters only if what was written counts. */
async function ended(stream: Writable, isComplete: boolean): Promise<void> {
  const end = finished(stream)
  await (isComplete ? end : end.catch(() => {}))
}

export function formatOf(values: ResultValues): Format {
  if (values.json) return 'one'
  return values['json-lines'] ? 'lines' : 'text'
}

export interface Delivery {
  readonly outlet: Outlet
  readonly values: ResultValues
  /** Called once when nobody reads the results any more. */
  readonly onBroken: () => void
}

/** Resolves with the exit code when every task has ended. Never cancels the job by itself, whatever fails. */
export async function deliver(
  job: JobHandle<unknown>,
  { outlet, values, onBroken }: Delivery
): Promise<number> {
  const line = (values.progress ?? process.stderr.isTTY) ? new ProgressLine(`job ${job.id}`) : undefined
  if (process.stdout.isTTY) outlet.onAppear = () => line?.aside()
  const ignore = job.onProgress((progress) => line?.show(progress))
  const silence = values.verbose === true ? job.onOutput((printed) => tellPrinted(printed, line)) : undefined
  const printer = new Printer(job.id, formatOf(values), outlet, line)
  outlet.onBroken = onBroken
  try {
    // It may be a job that nobody knows.
    if (line !== undefined) await job.status()
    line?.show(job.progress)
    // By hand, since a `for` that is left would cancel the job.
    const results = job[Symbol.asyncIterator]()
    for (let step = await results.next(); step.done !== true; step = await results.next()) {
      if (!outlet.isBroken) await printer.add(step.value)
    }
    const { state } = await job.status()
    return await printer.end(state === 'cancelled' && !outlet.isBroken)
  } catch (error) {
    await printer.breakOff(error)
    throw error
  } finally {
    ignore()
    silence?.()
    outlet.flush()
    line?.end()
  }
}

/** Of a program that failed, how it ended, and what it printed. */
const exitOf = (error: TaskError | ShoalError): ProgramExit | undefined =>
  error instanceof TaskError ? error.exit : undefined

/** Of a program, what it printed. */
function lineOf(result: unknown, format: Format): string | Uint8Array {
  if (format === 'lines') return `${jsonOf(result)}\n`
  return isProgramResult(result) ? (result.stdoutBytes ?? result.stdout) : `${textOf(result)}\n`
}

/** Both streams of a task go to stderr here: stdout is for results. */
export function tellPrinted({ index, stdout, stderr }: Printed, line: ProgressLine | undefined): void {
  line?.aside()
  const lines = (stdout + stderr).replace(/\n$/, '').split('\n')
  for (const text of lines) process.stderr.write(`[${index}] ${plain(text)}\n`)
}

class Printer {
  readonly #job: string
  readonly #format: Format
  readonly #outlet: Outlet
  readonly #line: ProgressLine | undefined
  readonly #errors: unknown[] = []
  #count = 0
  #failed = 0
  #cancelled = 0

  constructor(job: string, format: Format, outlet: Outlet, line: ProgressLine | undefined) {
    this.#job = job
    this.#format = format
    this.#outlet = outlet
    this.#line = line
  }

  async add(result: unknown): Promise<void> {
    const index = this.#count++
    const comma = index === 0 ? `{"job":${JSON.stringify(this.#job)},"results":[` : ','
    const isFailure = result instanceof TaskError || result instanceof ShoalError
    if (isFailure) this.#fail(index, result)
    if (this.#format === 'one') await this.#outlet.write(`${comma}${isFailure ? 'null' : jsonOf(result)}`)
    else if (!isFailure) await this.#print(index, result)
    else if (this.#format !== 'lines') await this.#outlet.write(exitOf(result)?.stdout ?? '')
  }

  async end(wasCancelled: boolean): Promise<number> {
    // A job without tasks is known to nobody.
    if (this.#format === 'one') await this.#close(this.#errors, this.#count === 0 ? null : this.#job)
    if (wasCancelled || this.#cancelled > 0) {
      const ended = `${this.#count - this.#cancelled} of ${counted(this.#count, 'task')} had ended before`
      this.#say(`SHOAL_CANCELLED: job ${this.#job} was cancelled; ${ended}`)
    }
    return wasCancelled || this.#failed + this.#cancelled > 0 ? EXIT.failed : EXIT.done
  }

  /** What a program reads is whole, however the command ends. Never rejects. */
  async breakOff(error: unknown): Promise<void> {
    const { code, message } = error as { code?: unknown; message?: unknown }
    if (this.#format === 'one') await this.#close([...this.#errors, { code, message }]).catch(() => {})
  }

  async #close(errors: readonly unknown[], job: string | null = this.#job): Promise<void> {
    const head = this.#count === 0 ? `{"job":${JSON.stringify(job)},"results":[` : ''
    await this.#outlet.write(`${head}],"errors":${JSON.stringify(errors)}}\n`)
  }

  async #print(index: number, result: unknown): Promise<void> {
    await this.#outlet.write(lineOf(result, this.#format))
    if (!isProgramResult(result) || this.#format !== 'text' || result.written.stdout <= stdoutBytesMax) return
    this.#say(
      `input ${index} wrote ${result.written.stdout} bytes to stdout, of which the first ${stdoutBytesMax} are kept`
    )
  }

  #fail(index: number, error: TaskError | ShoalError): void {
    const { code, name, message } = error
    if (this.#format === 'one') this.#errors.push({ index, code, name, message, exit: exitOf(error) })
    if (code === 'SHOAL_CANCELLED') {
      this.#cancelled++
      return
    }
    this.#failed++
    this.#say(`input ${index}: ${isDebugging() ? error.stack : plain(`${name}: ${message}`)}`)
  }

  #say(text: string): void {
    this.#line?.aside()
    process.stderr.write(`${text}\n`)
  }
}
