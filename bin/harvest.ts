/**
 * Brings home what the programs of a job left: files into their folder as they come, and what they printed in input order.
 *
 * Not here: the command line (commands/run.ts), what was done before (ledger.ts).
 * What was brought is noted at once, also while an earlier input still runs, so that a second start has the least to do.
 */
import { saveFiles } from '../src/client/outputs.ts'
import { type EachInput, type ProgramOptions, textThere } from '../src/client/programs.ts'
import { ProgressLine } from '../src/client/progress.ts'
import type { Client, Completed, JobHandle } from '../src/client/types.ts'
import { ShoalError, TaskError } from '../src/errors.ts'
import { type ProgramResult, stderrBytesMax, stdoutBytesMax } from '../src/tasks/executor/program.ts'
import { fill, insideName } from '../src/tasks/executor/template.ts'
import { EXIT, isDebugging, usageError } from './failure.ts'
import { giveUp } from './interruption.ts'
import type { Ledger } from './ledger.ts'
import { brief, counted, plain } from './output.ts'
import { type Outlet, stdoutOf } from './results.ts'
import { TaggedLines } from './tagged.ts'

/** Results whose files are brought at the same time. */
const bringingMax = 4

export interface HarvestOptions {
  readonly client: Client
  readonly program: ProgramOptions
  readonly ledger: Ledger | undefined
  readonly values: {
    readonly into: string
    readonly json: boolean
    readonly 'keep-going': boolean
    readonly progress?: boolean | undefined
    readonly verbose: boolean
  }
}

export type Inputs = Iterable<string> | AsyncIterable<string>

interface Input {
  /** `undefined` for the one task without input. */
  readonly text: string | undefined
  readonly key: string | undefined
}

interface Done {
  readonly stdout: string | Uint8Array
  readonly stderr: string
  readonly files: readonly string[]
  readonly written?: ProgramResult['written']
  /** It was done by an earlier command, and nothing of it was told by this one. */
  readonly isOld: boolean
}

export class Harvest {
  readonly #options: HarvestOptions
  readonly #inputs: Input[] = []
  /** Places among the inputs of the job's tasks: what was done before is in no job. */
  readonly #places: number[] = []
  /** What waits for those before it. */
  readonly #told = new Map<number, Done | Error>()
  /** Outputs, and whose they are. */
  readonly #outputs = new Map<string, string>()
  readonly #errors: object[] = []
  readonly #live = new TaggedLines((index, line) => this.#sayLines(this.#inputOf(index), line))
  #job: JobHandle<ProgramResult> | undefined
  #line: ProgressLine | undefined
  #printed = 0
  #printing: Promise<void> = Promise.resolve()
  #isOver = false
  #failed = 0
  #cancelled = 0
  #outlet: Outlet | undefined

  constructor(options: HarvestOptions) {
    this.#options = options
  }

  /** Resolves with the exit code, when every task has ended. */
  async bring(each: Inputs | undefined, signal: AbortSignal): Promise<number> {
    const { client, program, values } = this.#options
    if (each === undefined) this.#place({ text: undefined, key: undefined })
    const inputs = each === undefined ? {} : { each: this.#fresh(each) }
    const job = client.run({ ...program, ...inputs, returnErrors: true })
    this.#job = job
    const cancel = (): void => giveUp(job)
    if (signal.aborted) cancel()
    signal.addEventListener('abort', cancel, { once: true })
    this.#outlet = stdoutOf(`results of job ${job.id}`)
    this.#outlet.onBroken = cancel
    if (process.stdout.isTTY) this.#outlet.onAppear = () => this.#line?.aside()
    const hasLine = values.progress ?? process.stderr.isTTY
    this.#line = hasLine ? new ProgressLine(`job ${job.id}`) : undefined
    const ignore = job.onProgress((progress) => this.#line?.show(progress))
    if (values.verbose) job.onOutput((printed) => this.#live.add(printed))
    try {
      await this.#collect(job)
      return await this.#end((await job.status()).state === 'cancelled')
    } catch (error) {
      // What is read by a program is whole, however it ends.
      await this.#printing.catch(() => {})
      if (values.json) await this.#closeJson([...this.#errors, told(error)]).catch(() => {})
      throw error
    } finally {
      ignore()
      this.#line?.end()
    }
  }

  /** Inputs that were not done before. */
  async *#fresh(each: Inputs): AsyncGenerator<EachInput, void, undefined> {
    const { ledger } = this.#options
    let number = 0
    for await (const text of each) {
      const input = { text, number: ++number }
      this.#claimOutputs(input)
      const key = await ledger?.keyOf(input)
      const before = key === undefined ? undefined : await ledger?.find(key)
      if (before === undefined) {
        this.#place({ text, key })
        this.#proceed()
        yield input
        continue
      }
      this.#tell(this.#inputs.push({ text, key }) - 1, {
        ...before,
        files: before.files.map(({ name }) => name),
        isOld: true
      })
    }
  }

  /** Of a task of the job. */
  #inputOf(index: number): Input {
    return this.#inputs[this.#places[index] as number] as Input
  }

  #place(input: Input): void {
    this.#places.push(this.#inputs.push(input) - 1)
  }

  /** No two inputs may write the same file. */
  #claimOutputs({ text, number }: { readonly text: string; readonly number: number }): void {
    const { program } = this.#options
    const { outputs = [], stdout } = program
    const there = { text: textThere(program, text), number }
    for (const name of stdout === undefined ? outputs : [...outputs, stdout]) {
      const filled = fill(name, there)
      const path = insideName(filled) ?? filled
      const other = this.#outputs.get(path)
      if (other !== undefined)
        throw usageError(
          `${brief(other)} and ${brief(text)} would both write ${brief(path)}; use {} or {#} in --out`
        )
      this.#outputs.set(path, text)
    }
  }

  async #collect(job: JobHandle<ProgramResult>): Promise<void> {
    const bringing = new Set<Promise<void>>()
    try {
      for await (const completed of job.asCompleted()) {
        const one = this.#bringOne(completed).finally(() => bringing.delete(one))
        bringing.add(one)
        if (bringing.size >= bringingMax) await Promise.race(bringing)
      }
      await Promise.all(bringing)
    } finally {
      this.#isOver = true
      this.#proceed()
    }
    await this.#printing
  }

  /** Never rejects: what cannot be brought has failed, whatever its program did. */
  async #bringOne({ index, error, value }: Completed<ProgramResult>): Promise<void> {
    const place = this.#places[index] as number
    this.#live.end(index)
    this.#tell(place, error ?? (await this.#bringFiles(this.#inputs[place] as Input, value).catch(asError)))
  }

  async #bringFiles({ text, key }: Input, result: ProgramResult): Promise<Done> {
    const { client, ledger, values } = this.#options
    const { stdoutBytes, stderr, files, written } = result
    const stdout = stdoutBytes ?? result.stdout
    const names = await saveFiles(client, files, values.into)
    if (written.stdout > stdoutBytesMax)
      this.#say(
        `${brief(text ?? 'it')} wrote ${written.stdout} bytes to stdout, of which the first are kept, and --resume does it again; use --stdout FILE`
      )
    else if (key !== undefined) await ledger?.note(key, { stdout, stderr }, names)
    if (written.stderr > stderrBytesMax && !values.verbose)
      this.#say(`${brief(text ?? 'it')} wrote ${written.stderr} bytes to stderr, of which the last are kept`)
    return { stdout, stderr, files: names, written, isOld: false }
  }

  /** The job comes first in JSON, and until an input is left to do or none can follow, nobody knows whether there is one. */
  get #isHeld(): boolean {
    return this.#options.values.json && !this.#isOver && this.#places.length === 0
  }

  /** Prints it when it is its turn. */
  #tell(place: number, told: Done | Error): void {
    this.#told.set(place, told)
    this.#proceed()
  }

  #proceed(): void {
    this.#printing = this.#printing.then(() => this.#print())
    // What cannot be told anybody need not be done.
    this.#printing.catch(() => giveUp(this.#job))
  }

  async #print(): Promise<void> {
    if (this.#isHeld) return
    for (let told = this.#told.get(this.#printed); told !== undefined; told = this.#told.get(this.#printed)) {
      this.#told.delete(this.#printed)
      const input = this.#inputs[this.#printed] as Input
      const index = this.#printed++
      if (told instanceof Error) await this.#fail(index, input, told)
      else if (!this.#options.values.json) await this.#printOne(input, told)
      if (this.#options.values.json) await this.#writeJson(index, input, told)
    }
  }

  /** What was seen as it came is not told again, as far as it went to the same place. */
  async #printOne(input: Input, { stdout, stderr, isOld }: Done): Promise<void> {
    const wasSeen = this.#options.values.verbose && !isOld
    if (!wasSeen) this.#sayLines(input, stderr)
    if (!wasSeen || !process.stdout.isTTY) await this.#write(stdout)
  }

  async #fail(index: number, { text }: Input, error: Error): Promise<void> {
    const exit = error instanceof TaskError ? error.exit : undefined
    const { code: exitCode, signal, stdout = '', stderr = '' } = exit ?? {}
    const printed = exit === undefined ? {} : { stdout, stderr }
    const { code, message } = told(error)
    this.#errors.push({ index, input: text, code, message, exitCode, signal, ...printed })
    if (code === 'SHOAL_CANCELLED') {
      this.#cancelled++
      return
    }
    this.#failed++
    const { verbose, json } = this.#options.values
    if (!verbose) this.#sayLines({ text, key: undefined }, stderr)
    if (!json && !(verbose && process.stdout.isTTY)) await this.#write(stdout)
    this.#say(
      `${brief(text ?? 'the program')}: ${isDebugging() ? error.stack : plain(`${code ?? error.name}: ${message}`)}`
    )
    if (!this.#options.values['keep-going']) giveUp(this.#job)
  }

  async #end(wasCancelled: boolean): Promise<number> {
    if (this.#options.values.json) await this.#closeJson(this.#errors)
    await this.#outlet?.finish()
    if (wasCancelled || this.#cancelled > 0)
      this.#say(
        `SHOAL_CANCELLED: ${this.#places.length === 0 ? 'it' : `job ${this.#job?.id}`} was cancelled; ${counted(this.#printed - this.#cancelled, 'input')} had ended before`
      )
    return wasCancelled || this.#outlet?.isBroken || this.#failed + this.#cancelled > 0
      ? EXIT.failed
      : EXIT.done
  }

  async #closeJson(errors: readonly object[]): Promise<void> {
    const head = this.#printed === 0 ? this.#head() : ''
    await this.#write(`${head}],"errors":${JSON.stringify(errors)}}\n`)
  }

  #head(): string {
    // A job without tasks is known to nobody.
    const job = this.#places.length === 0 ? null : this.#job?.id
    return `{"job":${JSON.stringify(job)},"results":[`
  }

  async #writeJson(index: number, { text }: Input, told: Done | Error): Promise<void> {
    const before = index === 0 ? this.#head() : ','
    if (told instanceof Error) return this.#write(`${before}null`)
    const { stdout, stderr, files, written } = told
    const text64 =
      typeof stdout === 'string' ? { stdout } : { stdoutBase64: Buffer.from(stdout).toString('base64') }
    await this.#write(
      `${before}${JSON.stringify({ input: text, exitCode: 0, ...text64, stderr, files, written })}`
    )
  }

  async #write(text: string | Uint8Array): Promise<void> {
    if (this.#outlet?.isBroken || text.length === 0) return
    await this.#outlet?.write(text)
    // Each at its place among what goes to stderr.
    this.#outlet?.flush()
  }

  #sayLines({ text }: Input, lines: string): void {
    if (lines === '') return
    const name = text === undefined ? '' : `${brief(text)}: `
    const all = lines.endsWith('\n') ? lines.slice(0, -1) : lines
    for (const line of all.split('\n')) this.#say(`${name}${plain(line)}`)
  }

  #say(text: string): void {
    this.#line?.aside()
    process.stderr.write(`${text}\n`)
  }
}

const asError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)))

/** What is told of it to who reads JSON. */
function told(thrown: unknown): { readonly code: string | undefined; readonly message: string } {
  const isOurs = thrown instanceof TaskError || thrown instanceof ShoalError
  return { code: isOurs ? thrown.code : undefined, message: asError(thrown).message }
}
