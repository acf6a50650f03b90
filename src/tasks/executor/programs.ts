/**
 * The executor made of programs: each task a process of its own in a folder of its own.
 *
 * Not here: the process (tree.ts), the folder (scratch.ts), what a slot does between programs and functions (slots.ts).
 * A command engine is an engine without a namespace: nothing of one task is there for the next, so nothing is ever replaced.
 */
import { isUtf8 } from 'node:buffer'
import { mkdir, open, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { openEnvelope } from '../../data/envelope.ts'
import { type ErrorCode, ShoalError } from '../../errors.ts'
import { type DataId, type Digest, shardName, taskId } from '../../ids.ts'
import { assert } from '../../machine.ts'
import { encodeOutcome, pack, STATUS, type Status, valueAt } from '../batch.ts'
import { encodeValue } from './codec.ts'
import type { Executor, ExecutorEvent, RunBatch } from './executor.ts'
import { ExitFailure, failureFrom, memoryFailure } from './exit.ts'
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
import type { Place, Scratch } from './scratch.ts'
import { fill, isInside, shellWord } from './template.ts'
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
    const cancelled = outcomeOf(run, { status: STATUS.cancelled, payload: new Uint8Array() }, Date.now(), 0)
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
    const startedAt = Date.now()
    const before = performance.now()
    const ended = await this.#attempt(run, at, signal).catch((thrown: unknown): Ended => {
      const code = thrown instanceof ShoalError ? thrown.code : 'TASK_FAILED'
      return { status: STATUS.error, payload: encodeFailure(failureOf(thrown, code)) }
    })
    const elapsedMs = performance.now() - before
    this.#talk.flush(run)
    const last = signal.aborted ? this.#forced(run, signal.reason as Why) : ended
    this.#report(run, at, outcomeOf(run, last, startedAt, elapsedMs))
  }

  #forced({ batch }: Run, why: Why): Ended {
    if (why === 'cancelled') return { status: STATUS.cancelled, payload: new Uint8Array() }
    const { slot, attempt, timeoutMs } = batch
    const where = `engine ${this.#options.node}/${slot}, attempt ${attempt}`
    if (typeof why === 'object') {
      const failure = memoryFailure(why.usedMb, this.#options.memoryMb, where)
      return { status: STATUS.error, payload: encodeFailure(failure) }
    }
    const message = `the program ran longer than its timeout of ${timeoutMs} ms and was ended, on ${where}`
    const code: ErrorCode = 'TASK_TIMEOUT'
    return {
      status: STATUS.timedOut,
      payload: encodeFailure({ code, name: 'TimeoutError', message, stack: '' })
    }
  }

  async #attempt(run: Run, at: number, signal: AbortSignal): Promise<Ended> {
    const recipe = await this.#recipe(run.batch.code)
    const input = await this.#input(valueAt(run.batch.inputs, at))
    const { scratch } = this.#options
    const place = await scratch.place(input.files, recipe.files)
    try {
      const task = { recipe, input, place, run, at }
      const words = filled(recipe, input)
      const end = await this.#runProgram(task, words, signal)
      if (end.code !== 0) throw new ExitFailure(words.title, end)
      const names = recipe.outputs.map((name) => fill(name, templateInput(input)))
      const result: ProgramResult = {
        input: input.isGiven ? input.text : undefined,
        exitCode: 0,
        ...textOrBytes(end),
        stderr: textOf(end.stderr),
        written: end.written,
        files: await scratch.collect(place.work, names)
      }
      return { status: STATUS.ok, payload: encodeValue(result, 'the output of the program') }
    } catch (thrown) {
      return { status: STATUS.error, payload: encodeFailure(failureFrom(thrown, recipe.command)) }
    } finally {
      await scratch.leave(place)
    }
  }

  async #runProgram(task: Attempt, words: Words, signal: AbortSignal): Promise<TreeEnd> {
    const { recipe, input, place, run, at } = task
    const files = await openStreams(recipe, input, place)
    let timer: { stop(): void } | undefined
    let group: number | undefined
    let ended = (): void => {}
    const { timeoutMs } = run.batch
    const options: TreeOptions = {
      ...words,
      cwd: place.work,
      env: this.#environment(task),
      ...files.fds,
      stdoutBytesMax,
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
      return await runTree(options, signal)
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
    const given = recipe.env.map(({ name, value }) => [name, fill(value, templateInput(input))] as const)
    return {
      ...Object.fromEntries(own),
      PWD: place.work,
      TMPDIR: place.temp,
      ...Object.fromEntries(given),
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

interface Words {
  readonly file: string
  readonly args: readonly string[]
  /** For people. */
  readonly title: string
}

const templateInput = ({
  isGiven,
  text,
  number
}: ProgramInput): { text: string; number: number } | undefined => (isGiven ? { text, number } : undefined)

function filled({ command, args, isShell }: Recipe, input: ProgramInput): Words {
  const one = templateInput(input)
  if (isShell) {
    const script = fill([command, ...args].join(' '), one, shellWord)
    return { file: '/bin/sh', args: ['-c', script, 'sh'], title: script }
  }
  const words = [command, ...args].map((word) => fill(word, one))
  return { file: words[0] ?? '', args: words.slice(1), title: words.map(shellWord).join(' ') }
}

/** What the program reads and writes besides pipes. Folders of outputs are there before it begins. */
async function openStreams(
  recipe: Recipe,
  input: ProgramInput,
  { root, work }: Place
): Promise<{ fds: Pick<TreeOptions, 'stdin' | 'stdout'>; close: () => Promise<void> }> {
  const one = templateInput(input)
  const names = [...recipe.outputs, recipe.stdoutFile].map((name) => fill(name, one)).filter(isInside)
  for (const name of names) await mkdir(dirname(join(work, name)), { recursive: true })
  let stdinPath: string | undefined
  if (recipe.stdinFile !== '') stdinPath = join(work, fill(recipe.stdinFile, one))
  else if (recipe.stdin.byteLength > 0) {
    stdinPath = join(root, 'stdin')
    await writeFile(stdinPath, recipe.stdin)
  }
  const stdin = stdinPath === undefined ? undefined : await open(stdinPath, 'r')
  const stdoutPath = recipe.stdoutFile === '' ? undefined : join(work, fill(recipe.stdoutFile, one))
  const stdout = stdoutPath === undefined ? undefined : await open(stdoutPath, 'w')
  const close = async (): Promise<void> => {
    await stdin?.close()
    await stdout?.close()
  }
  return { fds: { stdin: stdin?.fd, stdout: stdout?.fd }, close }
}

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

function textOrBytes({ stdout, written }: TreeEnd): Pick<ProgramResult, 'stdout' | 'stdoutBytes'> {
  const text = textOf(stdout)
  // What was cut may end within a character.
  const isText = written.stdout > stdout.byteLength || isUtf8(stdout)
  return isText ? { stdout: text } : { stdout: text, stdoutBytes: stdout }
}

const isFull = ({ reason }: AbortSignal): boolean => typeof reason === 'object' && 'usedMb' in reason

function outcomeOf(run: Run, { status, payload }: Ended, startedAt: number, elapsedMs: number): Uint8Array {
  const { slot, attempt } = run.batch
  return encodeOutcome({ status, slot, attempt, elapsedMs, startedAt }, payload)
}
