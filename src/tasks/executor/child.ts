/**
 * An engine that is a process of its own: whatever it dies of, the node goes on.
 *
 * Not here: its inside (child-port.ts, worker.ts), and when it is to end (pool.ts). What began and what ended stands on a tape
 * (tape.ts) that is read when the process does not answer, and after its death.
 * It leads a process group, so that what its tasks start ends with it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { FD, type FromChild, type ToChild } from './child-port.ts'
import type { Engine, EngineEnd, EngineOptions, Started } from './engine.ts'
import { encodeFrame, FrameReader } from './frames.ts'
import { giveWay } from './manners.ts'
import { memoryOf } from './memory.ts'
import type { ToWorker } from './protocol.ts'
import { closeTape, createTape, readTape, writeWord } from './tape.ts'
import { newMark, signalTree } from './tree.ts'
import type { Warden } from './warden.ts'

/** Once a process has ended, so long for what still comes out of its pipes: somebody that it started may hold them open. */
const pipesAfterMs = 500
/** Between two looks at how much memory a process uses. */
const memoryEveryMs = 500
/** What a process takes besides the heap of its tasks. */
const memoryBesidesMb = 128
/** What is kept of stderr, to find in it what it died of. */
const lastLinesMax = 4_096

export function startChild(options: EngineOptions, warden: Warden): Engine {
  return new Child(options, warden)
}

class Child implements Engine {
  readonly #options: EngineOptions
  readonly #process: ChildProcess
  readonly #tape = createTape()
  readonly #mark = newMark()
  /** Runs by the order in which the engine got them, from 1, and the other way round. */
  readonly #runs = new Map<number, number>()
  readonly #orders = new Map<number, number>()
  readonly #ended = Promise.withResolvers<void>()
  #count = 0
  #words = 0
  #lastWords: string | undefined
  #lastLines = ''
  #hasExited = false
  #isOver = false
  #memoryTimer: NodeJS.Timeout | undefined

  constructor(options: EngineOptions, warden: Warden) {
    this.#options = options
    const { slot, name, heapMb, nice } = options
    // Where this is a source, its neighbour is one; in the package there is a file for each purpose (build/package.ts).
    const file = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './engine.js', import.meta.url)
    const limits = heapMb === undefined ? [] : [`--max-old-space-size=${heapMb}`]
    warden.ready()
    const child = spawn(process.execPath, [...limits, fileURLToPath(file), String(slot), name], {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe', this.#tape],
      detached: true,
      env: { ...process.env, SHOAL_RUN: this.#mark.slice('SHOAL_RUN='.length) }
    })
    this.#process = child
    const { pid } = child
    if (pid !== undefined) {
      warden.watch(pid)
      giveWay(pid, nice)
      this.#memoryTimer = setInterval(() => void this.#weigh(pid), memoryEveryMs).unref()
    }
    this.#listen()
    child.on('error', (error) => {
      this.#lastWords ??= `the engine could not be started: ${error.message}`
      if (pid === undefined) this.#over(null, null)
    })
    child.on('exit', (code, signal) => {
      this.#hasExited = true
      const closed = new Promise((resolve) => {
        child.on('close', resolve)
        setTimeout(resolve, pipesAfterMs)
      })
      // What it has left behind has nobody to work for.
      const swept = this.#signal('SIGKILL')
      if (pid !== undefined) warden.unwatch(pid)
      void Promise.all([closed, swept]).then(() => this.#over(code, signal))
    })
  }

  post(message: ToWorker): void {
    if (message.kind === 'run') {
      this.#orders.set(message.run, ++this.#count)
      this.#runs.set(this.#count, message.run)
    }
    this.#send(message)
  }

  forget(run: number): void {
    this.#runs.delete(this.#orders.get(run) ?? 0)
    this.#orders.delete(run)
  }

  take(run: number, positions: readonly number[]): number[] {
    const order = this.#orders.get(run)
    if (order === undefined || this.#isOver) return []
    writeWord(this.#tape, ++this.#words)
    const { order: at, position: last } = readTape(this.#tape).last ?? { order: 0, position: 0 }
    const taken = positions.filter((position) => order > at || (order === at && position > last))
    this.#send({ kind: 'taken', word: this.#words, run, positions: taken })
    return taken
  }

  running(): Started | undefined {
    return this.#isOver ? undefined : this.#started()
  }

  condemn(run: number, position: number): boolean {
    if (this.#isOver) return false
    // It begins nothing more until it has heard what this word means.
    writeWord(this.#tape, ++this.#words)
    const running = this.#started()
    if (running?.run === run && running.position === position) {
      void this.terminate()
      return true
    }
    this.#send({ kind: 'taken', word: this.#words, run, positions: [] })
    return false
  }

  suspend(isSuspended: boolean): boolean {
    if (!this.#hasExited) void this.#signal(isSuspended ? 'SIGSTOP' : 'SIGCONT')
    return true
  }

  terminate(because?: string): Promise<void> {
    this.#lastWords ??= because
    if (!this.#hasExited) void this.#signal('SIGKILL')
    return this.#ended.promise
  }

  async #signal(signal: NodeJS.Signals): Promise<void> {
    const { pid } = this.#process
    if (pid !== undefined) await signalTree(pid, this.#mark, signal)
  }

  #started(): Started | undefined {
    const { running } = readTape(this.#tape)
    const run = running && this.#runs.get(running.order)
    return run === undefined ? undefined : { ...(running as NonNullable<typeof running>), run }
  }

  #send(message: ToChild): void {
    const pipe = this.#process.stdio[FD.fromPool] as Writable | undefined
    if (pipe?.writable === true) pipe.write(encodeFrame(message))
  }

  #listen(): void {
    const { stdio, stdout, stderr } = this.#process
    for (const stream of stdio) stream?.on('error', () => {})
    // What tasks print must not mix with what the node prints on stdout.
    stdout?.on('data', (text) => process.stderr.write(text))
    stderr?.on('data', (text) => {
      this.#lastLines = (this.#lastLines + String(text)).slice(-lastLinesMax)
      process.stderr.write(text)
    })
    // An engine whose task has closed one of these hears or says nothing any more, but lives.
    for (const fd of [FD.fromPool, FD.toPool])
      (stdio[fd] as Readable | undefined)?.resume().on('end', () => void this.terminate())
    const frames = new FrameReader()
    const pipe = stdio[FD.toPool] as Readable | undefined
    pipe?.on('data', (part: Uint8Array) => {
      try {
        for (const message of frames.read(part)) this.#received(message)
      } catch {
        // User code has written into the pipe: nothing that comes from there can be believed.
        pipe.removeAllListeners('data')
        void this.terminate()
      }
    })
  }

  /** The heap has a limit of its own; buffers, and what tasks start, have this one. Where there is no /proc, none. */
  async #weigh(pid: number): Promise<void> {
    const { heapMb } = this.#options
    if (heapMb === undefined) return
    const usedMb = (await memoryOf(pid)) / 2 ** 20
    const mostMb = heapMb + memoryBesidesMb
    if (usedMb <= mostMb) return
    const most = `${mostMb}: ${heapMb} of heap and ${memoryBesidesMb} beside it`
    this.#lastWords ??= `the engine used ${Math.ceil(usedMb)} MB of memory where it may use ${most}`
    void this.terminate()
  }

  #received(message: unknown): void {
    const said = message as FromChild | null | undefined
    if (said?.kind === 'last-words') this.#lastWords = String(said.text)
    else if (!this.#isOver) this.#options.onMessage(message)
  }

  #over(code: number | null, signal: NodeJS.Signals | null): void {
    if (this.#isOver) return
    const hasStarted = this.#process.pid !== undefined
    const end = { reason: this.#reason(code, signal), hasStarted, ...this.#left() }
    this.#isOver = true
    clearInterval(this.#memoryTimer)
    closeTape(this.#tape)
    this.#ended.resolve()
    this.#options.onEnd(end)
  }

  #left(): Pick<EngineEnd, 'rest' | 'started'> {
    const started = this.#started()
    const { ended } = readTape(this.#tape)
    const run = ended && this.#runs.get(ended.order)
    const rest = ended && run !== undefined ? ({ kind: 'ended', run, ...ended.outcomes } as const) : undefined
    return { rest, started: started ? [started] : [] }
  }

  #reason(code: number | null, signal: NodeJS.Signals | null): string {
    if (this.#lastWords !== undefined) return this.#lastWords
    if (signal === null) return `the engine exited with code ${code}`
    const isFull = signal === 'SIGABRT' && this.#lastLines.includes('heap out of memory')
    return `the engine ended by ${signal}${isFull ? ': its heap is full, so the task needs more memory than it may have' : ''}`
  }
}
