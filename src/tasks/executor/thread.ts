/**
 * An engine that is a thread of the node's process.
 *
 * Not here: its inside (thread-port.ts, worker.ts), and when it is to end (pool.ts).
 * Both sides share memory: one claim byte for each task, swapped by whoever comes first, and a desk where outcomes lie until
 * they are sent, so that nothing is lost with a thread but the task that it ran.
 */
import { realpathSync } from 'node:fs'
import { isMainThread, Worker } from 'node:worker_threads'
import { createDeskMemory, type Desk, openDesk, readDesk } from './desk.ts'
import type { Engine, EngineOptions, Started } from './engine.ts'
import type { Claims, Ended, ToWorker, WorkerData } from './protocol.ts'
import { CLAIM, swapClaim } from './protocol.ts'

export function startThread(options: EngineOptions): Engine {
  leaveGoneFolder()
  return new Thread(options)
}

/** Node.js starts no thread of a process whose working folder is gone, and of that nobody can make any use. */
function leaveGoneFolder(): void {
  try {
    // Node.js remembers what `process.cwd()` was.
    realpathSync.native('.')
  } catch {
    // A thread may not move its process: its engines tell why they cannot start.
    if (isMainThread) process.chdir('/')
  }
}

class Thread implements Engine {
  readonly #worker: Worker
  #lastWords: string | undefined
  #hasStarted = false
  readonly #desk: Desk
  /** Of the runs that it was given. */
  readonly #claims = new Map<number, Claims>()

  constructor({ slot, name, heapMb, nice, onMessage, onEnd }: EngineOptions) {
    const desk = createDeskMemory()
    const workerData: WorkerData = { slot, engine: name, desk, nice }
    const resourceLimits = heapMb === undefined ? {} : { maxOldGenerationSizeMb: heapMb }
    // Where this is a source, its neighbour is one; in the package there is a file for each purpose (build/package.ts).
    const file = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './engine.js', import.meta.url)
    const worker = new Worker(file, { workerData, resourceLimits, stdout: true, stderr: true })
    this.#worker = worker
    this.#desk = openDesk(desk)
    // What tasks print must not mix with what the node prints on stdout.
    worker.stdout.on('data', (text) => process.stderr.write(text))
    worker.stderr.on('data', (text) => process.stderr.write(text))
    worker.on('online', () => {
      this.#hasStarted = true
    })
    worker.on('message', onMessage)
    worker.on('error', (error: unknown) => {
      this.#lastWords ??= error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    })
    // Node delivers all messages that the thread sent before it tells of its end.
    worker.on('exit', (code) => {
      const reason = this.#lastWords ?? `the engine exited with code ${code}`
      onEnd({ reason, hasStarted: this.#hasStarted, rest: this.#rest(), started: this.#started() })
    })
  }

  post(message: ToWorker): void {
    if (message.kind !== 'run') return this.#worker.postMessage(message)
    const claims = new Uint8Array(new SharedArrayBuffer(message.claims.length))
    claims.set(message.claims)
    this.#claims.set(message.run, claims)
    this.#worker.postMessage({ ...message, claims }, [message.body.buffer as ArrayBuffer])
  }

  forget(run: number): void {
    this.#claims.delete(run)
  }

  take(run: number, positions: readonly number[]): number[] {
    const claims = this.#claims.get(run)
    if (claims === undefined) return []
    return positions.filter((position) => swapClaim(claims, position, CLAIM.unstarted, CLAIM.taken))
  }

  running(): Started | undefined {
    for (const [run, claims] of this.#claims) {
      const position = claims.indexOf(CLAIM.running)
      if (position >= 0) return this.#at(run, position)
    }
    return undefined
  }

  condemn(run: number, position: number): boolean {
    const claims = this.#claims.get(run)
    if (claims === undefined || !swapClaim(claims, position, CLAIM.running, CLAIM.taken)) return false
    void this.terminate()
    return true
  }

  suspend(): boolean {
    return false
  }

  async terminate(because?: string): Promise<void> {
    this.#lastWords ??= because
    await this.#worker.terminate()
  }

  #at(run: number, position: number): Started {
    return { run, position, startedAt: this.#desk.clock[0] as number }
  }

  #rest(): Ended | undefined {
    const rest = readDesk(this.#desk)
    return rest.positions.length === 0 ? undefined : rest
  }

  #started(): Started[] {
    const started: Started[] = []
    for (const [run, claims] of this.#claims) {
      for (let position = 0; position < claims.length; position++) {
        const claim = claims[position]
        if (claim === CLAIM.running || claim === CLAIM.ended) started.push(this.#at(run, position))
      }
    }
    return started
  }
}
