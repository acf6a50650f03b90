/**
 * One program and all that it starts: begun as a process group of its own, heard, and ended to the last.
 *
 * Not here: where it runs and what it leaves (scratch.ts, programs.ts), what becomes of it if this process dies (warden.ts).
 * A program is ended as init does it: TERM to everybody, some time, KILL to who is left. Who left the group on purpose still
 * carries its name in its environment, and is found by that where there is a /proc.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

/** Between two looks whether the tree is gone. */
const lookEveryMs = 25
/** What a program wrote may still be in its pipes when it has ended; whoever else holds them open is not waited for longer. */
const lastWordsMs = 1_000

export interface TreeOptions {
  readonly file: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  /** Files that are open; else nothing is read, and stdout is heard. */
  readonly stdin?: number | undefined
  readonly stdout?: number | undefined
  readonly stdoutBytesMax: number
  readonly stdoutEndBytesMax: number
  readonly stderrBytesMax: number
  /** What its mark begins with. */
  readonly mark: string
  /** Between TERM and KILL; asked again and again, as it may become urgent. */
  readonly killAfterMs: () => number
  readonly onStarted: (pid: number) => void
  readonly onOutput: (stream: 'stdout' | 'stderr', chunk: Uint8Array) => void
}

export interface TreeEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** The beginning of it. */
  readonly stdout: Uint8Array
  readonly stdoutEnd: Uint8Array
  /** The end of it. */
  readonly stderr: Uint8Array
  readonly written: { readonly stdout: number; readonly stderr: number }
}

/**
 * Runs a program until it and its group have ended; once `signal` aborts, that is hastened. Rejects with the error of the
 * system if it cannot be started (ENOENT: there is no such command).
 */
export async function runTree(options: TreeOptions, signal: AbortSignal): Promise<TreeEnd> {
  const { file, args, cwd, env, stdin = 'ignore', stdout = 'pipe' } = options
  const mark = newMark(options.mark)
  const child = spawn(file, args, {
    cwd,
    env: { ...env, SHOAL_RUN: mark.slice('SHOAL_RUN='.length) },
    // A session of its own: no terminal, and a group whose number is its pid.
    detached: true,
    stdio: [stdin, stdout, 'pipe']
  })
  const { pid } = child
  if (pid !== undefined) options.onStarted(pid)
  const heard = listen(child, options)
  const exit = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
  let ending: Promise<void> | undefined
  const end = (): void => {
    if (pid !== undefined) ending ??= endTree(pid, mark, options.killAfterMs)
  }
  if (signal.aborted) end()
  signal.addEventListener('abort', end, { once: true })
  try {
    const status = await exit
    await ending
    // What it left behind in its group has nobody to report to.
    if (pid !== undefined) signalGroup(pid, 'SIGKILL')
    await Promise.race([closed, sleep(lastWordsMs, undefined, { ref: false })])
    return { ...status, ...heard() }
  } finally {
    signal.removeEventListener('abort', end)
    child.stdout?.destroy()
    child.stderr?.destroy()
  }
}

function listen(child: ChildProcess, options: TreeOptions): () => Omit<TreeEnd, 'code' | 'signal'> {
  const head = new Head(options.stdoutBytesMax)
  const last = new Tail(options.stdoutEndBytesMax)
  const tail = new Tail(options.stderrBytesMax)
  child.stdout?.on('data', (chunk: Uint8Array) => {
    head.add(chunk)
    last.add(chunk)
    options.onOutput('stdout', chunk)
  })
  child.stderr?.on('data', (chunk: Uint8Array) => {
    tail.add(chunk)
    options.onOutput('stderr', chunk)
  })
  return () => ({
    stdout: head.bytes(),
    stdoutEnd: last.bytes(),
    stderr: tail.bytes(),
    written: { stdout: head.written, stderr: tail.written }
  })
}

/** The beginning of a stream. */
class Head {
  readonly #max: number
  readonly #chunks: Uint8Array[] = []
  written = 0

  constructor(max: number) {
    this.#max = max
  }

  add(chunk: Uint8Array): void {
    const room = this.#max - this.written
    this.written += chunk.byteLength
    if (room > 0) this.#chunks.push(chunk.subarray(0, room))
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.#chunks)
  }
}

/** The end of a stream. */
class Tail {
  readonly #max: number
  #chunks: Uint8Array[] = []
  #held = 0
  written = 0

  constructor(max: number) {
    this.#max = max
  }

  add(chunk: Uint8Array): void {
    this.written += chunk.byteLength
    this.#held += chunk.byteLength
    this.#chunks.push(chunk)
    if (this.#held > 4 * this.#max) this.#chunks = [this.bytes()]
  }

  bytes(): Uint8Array {
    const all = Buffer.concat(this.#chunks).subarray(-this.#max)
    this.#held = all.byteLength
    return all
  }
}

/** What a tree carries in its environment, as `SHOAL_RUN=…`. */
export function newMark(first = ''): string {
  return `SHOAL_RUN=${first}${randomBytes(12).toString('hex')}`
}

/** TERM to all, which go on if they stood still; KILL to those that are left after a while. Resolves when it has sent what there is to send. */
async function endTree(pid: number, mark: string, killAfterMs: () => number): Promise<void> {
  const from = performance.now()
  await signalTree(pid, mark, 'SIGTERM')
  await signalTree(pid, mark, 'SIGCONT')
  while ((await isThere(pid, mark)) && performance.now() - from < killAfterMs()) await sleep(lookEveryMs)
  await signalTree(pid, mark, 'SIGKILL')
}

/** Signals the group at once, and those that left it soon after. */
export async function signalTree(pid: number, mark: string, signal: NodeJS.Signals): Promise<void> {
  signalGroup(pid, signal)
  for (const one of await treeMembers(pid, mark)) trySignal(one, signal)
}

async function isThere(pid: number, mark: string): Promise<boolean> {
  if (process.platform !== 'linux') return trySignal(-pid, 0)
  return (await treeMembers(pid, mark)).length > 0
}

/** False if there is no such group. */
export function signalGroup(pid: number, signal: NodeJS.Signals): boolean {
  return trySignal(-pid, signal)
}

function trySignal(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}

/** Living processes of the group `pid`, and those that carry the mark. Empty where there is no /proc. */
async function treeMembers(pid: number, mark: string): Promise<number[]> {
  if (process.platform !== 'linux') return []
  const names = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))
  const found = await Promise.all(names.map((name) => isMember(name, pid, mark)))
  return names.filter((_, at) => found[at]).map(Number)
}

async function isMember(name: string, pid: number, mark: string): Promise<boolean> {
  try {
    // After the name of the program, which may hold anything: state, parent, group.
    const stat = await readFile(`/proc/${name}/stat`, 'latin1')
    const [state, , group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (state === 'Z' || state === 'X') return false
    if (group === String(pid)) return true
    return (await readFile(`/proc/${name}/environ`, 'latin1')).split('\0').includes(mark)
  } catch {
    // Gone, or somebody else's.
    return false
  }
}
