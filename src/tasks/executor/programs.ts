/**
 * The executor made of programs: each task a process of its own in a folder of its own.
 *
 * Not here: the process (tree.ts), the folder (scratch.ts), files in the place of pipes (streams.ts), what a slot does between programs and functions (slots.ts).
 * A command engine is an engine without a namespace: nothing of one task is there for the next, so nothing is ever replaced.
 */
import { isUtf8 } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openEnvelope } from '../../data/envelope.ts'
import { type ErrorCode, type ProgramExit, ShoalError } from '../../errors.ts'
import { type DataId, type Digest, shardName, taskId } from '../../ids.ts'
import { assert } from '../../machine.ts'
import { encodeOutcome, pack, STATUS, type Status, valueAt } from '../batch.ts'
import { silence, withOutput } from '../output.ts'
import { type Argv, argvOf, environmentOf, templateInput } from './argv.ts'
import { wallClock } from './clock.ts'
import { encodeValue } from './codec.ts'
import type { Executor, ExecutorEvent, RunBatch } from './executor.ts'
import { ExitFailure, exitOf, failureFrom, memoryFailure, tailBytesMax } from './exit.ts'
import { encodeFailure, failureOf } from './failure.ts'
import { Manners, type MannersOptions, startTimer } from './manners.ts'
import {
  type ProgramInput,
  type ProgramResult,
  parseProgramInput,
  parseRecipe,
  type Recipe,
  stderrBytesMax,
  stdoutBytesMax
} from './program.ts'
import { sharedMillis } from './protocol.ts'
import type { Place, Scratch } from './scratch.ts'
import { openStreams } from './streams.ts'
import { fill } from './template.ts'
import { runTree, type TreeEnd, type TreeOptions } from './tree.ts'
import { Warden } from './warden.ts'
import { type Speaking, Talk } from './words.ts'

/** Recipes that are kept parsed. */
const recipesMax = 16

export interface ProgramsOptions extends Partial<MannersOptions> {
  readonly slots: number
  /** Where the recipe of this digest lies on disk. */
  readonly code: (digest: Digest) => string
  /** The id of this node. */
  readonly node: string
  readonly scratch: Scratch
  /** Called in a microtask of its own, never from within a call. */
  readonly onEvent: (event: ExecutorEvent) => void
}

/** `memory` with how much it was. */
type Why = 'cancelled' | 'timeout' | { readonly usedMb: number }

const UNSTARTED = 0
const RUNNING = 1
const OVER = 2

interface Run extends Speaking {
  readonly batch: RunBatch
  readonly states: Uint8Array
  left: number
  /** Ends the task that runs. */
  ending: AbortController
}

interface Slot {
  readonly runs: Run[]
  isBusy: boolean
}

interface Ended {
  readonly status: Status
  readonly payload: Uint8Array
  /** Of a program that began. */
  readonly exit?: ProgramExit | undefined
}

export function createPrograms(options: ProgramsOptions): Executor {
  return new Programs(options)
}

class Programs implements Executor {
  readonly #options: ProgramsOptions
  readonly #slots: Slot[]
  readonly #runs = new Map<number, Run>()
  readonly #recipes = new Map<Digest, Promise<Recipe>>()
  readonly #warden: Warden
  readonly #manners: Manners
  readonly #driving = new Set<Promise<void>>()
  readonly #talk = new Talk((event) => this.#emit(event))
  #isClosed = false

  constructor(options: ProgramsOptions) {
    this.#options = options
    this.#slots = Array.from({ length: options.slots }, () => ({ runs: [], isBusy: false }))
    this.#warden = new Warden(options.scratch.folder)
    this.#manners = new Manners({ nice: options.nice ?? 0, memoryMb: options.memoryMb })
  }

  run(batch: RunBatch): void {
    if (this.#isClosed) return
    const slot = this.#slots[batch.slot]
    assert(slot !== undefined, `a program for slot ${batch.slot} of ${this.#slots.length}`)
    const count = batch.inputs.indexes.length
    const [states, reported] = [new Uint8Array(count), new Uint8Array(count)]
    const ending = new AbortController()
    const run: Run = { batch, states, reported, left: count, ending, words: undefined }
    this.#runs.set(batch.run, run)
    slot.runs.push(run)
    if (slot.isBusy) return
    const driving = this.#drive(slot).finally(() => this.#driving.delete(driving))
    this.#driving.add(driving)
  }

  cancel(number: number, indexes?: Uint32Array): void {
    const run = this.#runs.get(number)
    if (run === undefined) return
    const wanted = indexes && new Set(indexes)
    const unstarted: number[] = []
    for (const [at, index] of run.batch.inputs.indexes.entries()) {
      if (wanted && !wanted.has(index)) continue
      if (run.states[at] === RUNNING) run.ending.abort('cancelled' satisfies Why)
      else if (run.states[at] === UNSTARTED) unstarted.push(at)
    }
    const cancelled = outcomeOf(run, { status: STATUS.cancelled, payload: new Uint8Array() }, 0, 0)
    for (const at of unstarted) this.#report(run, at, cancelled)
  }

  recall(number: number): void {
    const run = this.#runs.get(number)
    if (run === undefined) return
    const indexes: number[] = []
    for (const [at, index] of run.batch.inputs.indexes.entries()) {
      if (run.states[at] !== UNSTARTED) continue
      run.states[at] = OVER
      run.reported[at] = 1
      indexes.push(index)
    }
    if (indexes.length === 0) return
    run.left -= indexes.length
    const done = this.#forgetIfDone(run)
    this.#emit({ kind: 'recalled', run: number, indexes: Uint32Array.from(indexes), done })
  }

  /** Their groups only; time limits go on. */
  suspend(isSuspended: boolean): void {
    this.#manners.suspend(isSuspended)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const { ending } of this.#runs.values()) ending.abort('cancelled' satisfies Why)
    await Promise.all(this.#driving)
    this.#talk.close()
    this.#warden.close()
    await this.#options.scratch.close()
  }

  /** One task after the other, until nothing is left. */
  async #drive(slot: Slot): Promise<void> {
    slot.isBusy = true
    for (let run = slot.runs[0]; run !== undefined && !this.#isClosed; run = slot.runs[0]) {
      const at = run.states.indexOf(UNSTARTED)
      if (at >= 0) await this.#perform(run, at)
      if (run.left === 0) slot.runs.shift()
    }
    slot.isBusy = false
  }

  async #perform(run: Run, at: number): Promise<void> {
    run.states[at] = RUNNING
    run.ending = new AbortController()
    const { signal } = run.ending
    const startedAt = sharedMillis()
    const ended = await this.#attempt(run, at, signal).catch((thrown: unknown): Ended => {
      const code = thrown instanceof ShoalError ? thrown.code : 'TASK_FAILED'
      return { status: statusOf(thrown), payload: encodeFailure(failureOf(thrown, code)) }
    })
    const elapsedMs = sharedMillis() - startedAt
    this.#talk.flush(run)
    const last = signal.aborted ? this.#forced(run, signal.reason as Why, ended.exit) : ended
    const outcome = outcomeOf(run, last, wallClock.at(startedAt), elapsedMs)
    // Any other has it in its payload.
    const isCancelled = last.status === STATUS.cancelled
    this.#report(run, at, isCancelled ? withOutput(outcome, run.words?.outputOf(at) ?? silence) : outcome)
  }

  #forced({ batch }: Run, why: Why, exit: ProgramExit | undefined): Ended {
    if (why === 'cancelled') return { status: STATUS.cancelled, payload: new Uint8Array() }
    const { slot, attempt, timeoutMs } = batch
    const where = `engine ${this.#options.node}/${slot}, attempt ${attempt}`
    if (typeof why === 'object') {
      const failure = memoryFailure(why.usedMb, this.#options.memoryMb, where, exit)
      return { status: STATUS.error, payload: encodeFailure(failure) }
    }
    const message = `the program ran longer than its timeout of ${timeoutMs} ms and was ended, on ${where}`
    const code: ErrorCode = 'TASK_TIMEOUT'
    return {
      status: STATUS.timedOut,
      payload: encodeFailure({ code, name: 'TimeoutError', message, stack: '', ...(exit && { exit }) })
    }
  }

  async #attempt(run: Run, at: number, signal: AbortSignal): Promise<Ended> {
    const recipe = await this.#recipe(run.batch.code)
    const input = await this.#input(valueAt(run.batch.inputs, at))
    const { scratch } = this.#options
    const place = await scratch.place(input.files, recipe.files)
    let exit: ProgramExit | undefined
    try {
      const task = { recipe, input, place, run, at }
      const argv = argvOf(recipe, templateInput(input))
      const end = await this.#runProgram(task, argv, signal)
      exit = end.exit
      if (end.code !== 0) throw new ExitFailure(argv.title, end)
      const names = recipe.outputs.map((name) => fill(name, templateInput(input)))
      const { files, notes } = await scratch.collect(place.work, names)
      if (notes !== '') this.#talk.listener(run, at)('stderr', new TextEncoder().encode(notes))
      const result: ProgramResult = {
        input: input.isGiven ? input.text : undefined,
        exitCode: 0,
        ...textOrBytes(end),
        stderr: textOf(end.stderr) + notes,
        written: end.written,
        files
      }
      return { status: STATUS.ok, payload: encodeValue(result, 'the output of the program'), exit }
    } catch (thrown) {
      const failure = { ...failureFrom(thrown, recipe.command), ...(exit && { exit }) }
      return { status: statusOf(thrown), payload: encodeFailure(failure), exit }
    } finally {
      await scratch.leave(place)
    }
  }

  async #runProgram(task: Attempt, argv: Argv, signal: AbortSignal): Promise<End> {
    const { recipe, input, place, run, at } = task
    const files = await openStreams(recipe, input, place)
    let timer: { stop(): void } | undefined
    let group: number | undefined
    let ended = (): void => {}
    const { timeoutMs } = run.batch
    const options: TreeOptions = {
      ...argv,
      cwd: place.work,
      env: this.#environment(task),
      ...files.fds,
      stdoutBytesMax,
      stdoutEndBytesMax: tailBytesMax,
      stderrBytesMax,
      mark: this.#warden.mark,
      // A node that stops has no time to give, nor has one whose memory is full.
      killAfterMs: () => (this.#isClosed || isFull(signal) ? 0 : recipe.killAfterMs),
      onStarted: (pid) => {
        group = pid
        this.#warden.watch(pid)
        ended = this.#manners.begin(pid, signal, (usedMb) => run.ending.abort({ usedMb } satisfies Why))
        // What it waited for its files is not held against it.
        if (timeoutMs > 0) timer = startTimer(timeoutMs, () => run.ending.abort('timeout' satisfies Why))
      },
      onOutput: this.#talk.listener(run, at)
    }
    try {
      signal.throwIfAborted()
      this.#warden.ready()
      const end = await runTree(options, signal)
      const isFile = recipe.stdoutFile !== ''
      return { ...end, exit: exitOf(end, isFile ? await files.stdoutEnd(tailBytesMax) : end.stdoutEnd) }
    } finally {
      timer?.stop()
      if (group !== undefined) {
        this.#warden.unwatch(group)
        ended()
      }
      await files.close()
    }
  }

  #environment({ recipe, input, place, run, at }: Attempt): Record<string, string> {
    const { batch } = run
    const index = batch.first + (batch.inputs.indexes[at] as number)
    const own = Object.entries(process.env).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && !entry[0].startsWith('SHOAL_')
    )
    return {
      ...Object.fromEntries(own),
      PWD: place.work,
      TMPDIR: place.temp,
      ...Object.fromEntries(environmentOf(recipe, templateInput(input))),
      SHOAL_TASK: taskId(shardName(batch.key).job, index),
      SHOAL_ATTEMPT: String(batch.attempt),
      SHOAL_ENGINE: `${this.#options.node}/${batch.slot}`
    }
  }

  /** Of an input that names data, the rest; of one that is itself data, what lies there. */
  async #input(value: Uint8Array): Promise<ProgramInput> {
    const envelope = openEnvelope(value)
    if (envelope?.kind !== 'far') return parseProgramInput(envelope?.inner ?? value)
    const far = await readFile(join(this.#options.scratch.dataFolder, envelope.ids[0] as DataId))
    return parseProgramInput(openEnvelope(far)?.inner ?? far)
  }

  #recipe(digest: Digest): Promise<Recipe> {
    const before = this.#recipes.get(digest)
    if (before !== undefined) return before
    const recipe = readFile(this.#options.code(digest)).then((code) => parseRecipe(code))
    if (this.#recipes.size >= recipesMax) this.#recipes.clear()
    this.#recipes.set(digest, recipe)
    recipe.catch(() => this.#recipes.delete(digest))
    return recipe
  }

  #report(run: Run, at: number, outcome: Uint8Array): void {
    const { batch } = run
    run.states[at] = OVER
    run.reported[at] = 1
    run.left--
    const outcomes = pack('', [batch.inputs.indexes[at] as number], [outcome])
    const done = this.#forgetIfDone(run)
    this.#emit({ kind: 'ended', run: batch.run, slot: batch.slot, outcomes, done })
  }

  #forgetIfDone(run: Run): boolean {
    return run.left === 0 && this.#runs.delete(run.batch.run)
  }

  #emit(event: ExecutorEvent): void {
    queueMicrotask(() => {
      if (!this.#isClosed) this.#options.onEvent(event)
    })
  }
}

interface Attempt {
  readonly recipe: Recipe
  readonly input: ProgramInput
  readonly place: Place
  readonly run: Run
  readonly at: number
}

interface End extends TreeEnd {
  readonly exit: ProgramExit
}

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

function textOrBytes({ stdout, written }: TreeEnd): Pick<ProgramResult, 'stdout' | 'stdoutBytes'> {
  const text = textOf(stdout)
  // What was cut may end within a character, of four bytes at most.
  const cuts = written.stdout > stdout.byteLength ? [0, 1, 2, 3] : [0]
  const isText = cuts.some((cut) => isUtf8(stdout.subarray(0, stdout.byteLength - cut)))
  return isText ? { stdout: text } : { stdout: text, stdoutBytes: stdout }
}

/** What had no room on this disk is no failure of the program. */
const statusOf = (thrown: unknown): Status =>
  thrown instanceof ShoalError && thrown.code === 'SHOAL_DISK' ? STATUS.noRoom : STATUS.error

const isFull = ({ reason }: AbortSignal): boolean => typeof reason === 'object' && 'usedMb' in reason

function outcomeOf(run: Run, { status, payload }: Ended, startedAt: number, elapsedMs: number): Uint8Array {
  const { slot, attempt } = run.batch
  return encodeOutcome({ status, slot, attempt, elapsedMs, startedAt }, payload)
}
