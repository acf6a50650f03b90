/**
 * What becomes of the programs of a node that is gone.
 *
 * Not here: a node as a whole (test/integration/programs.test.ts). Who has the warden here is a process that holds nothing else.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { afterEach, expect, test } from 'vitest'

const HOLDER = `
import { createInterface } from 'node:readline'
import { Warden } from '${new URL('../../../src/tasks/executor/warden.ts', import.meta.url)}'
const warden = new Warden()
warden.ready()
console.log(warden.mark)
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'close') warden.close()
  else warden.watch(Number(line))
  console.log(line)
}`

class Holder {
  readonly #process = spawn(process.execPath, ['--input-type=module', '-e', HOLDER], {
    stdio: ['pipe', 'pipe', 'inherit']
  })
  readonly #lines = linesOf(this.#process.stdout)
  readonly mark = next(this.#lines)

  /** Resolves when it is done. */
  async tell(line: string): Promise<void> {
    this.#process.stdin.write(`${line}\n`)
    expect(await next(this.#lines)).toBe(line)
  }

  async kill(): Promise<void> {
    const gone = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await gone
  }
}

type Lines = AsyncIterator<string>
const linesOf = (input: Readable): Lines => createInterface({ input })[Symbol.asyncIterator]()
/** `undefined` at the end. */
const next = async (lines: Lines): Promise<string | undefined> => (await lines.next()).value

interface Program {
  readonly pid: number
  readonly lines: Lines
}

const programs: ChildProcess[] = []
afterEach(() => {
  for (const program of programs.splice(0)) program.kill('SIGKILL')
})

/** Leads a group of its own, and does as `traps` say. Resolves when it runs. */
async function start(mark: string, traps = `trap 'echo tidy; exit 0' TERM`): Promise<Program> {
  const script = `${traps}; echo up; while :; do sleep 0.02; done`
  const env = { ...process.env, SHOAL_RUN: mark }
  const program = spawn('/bin/sh', ['-c', script], {
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
    env
  })
  programs.push(program)
  const lines = linesOf(program.stdout)
  expect(await next(lines)).toBe('up')
  return { pid: program.pid as number, lines }
}

test('a program of which its node could not tell any more ends with it', async () => {
  const holder = new Holder()
  const { lines } = await start(`${await holder.mark}1`)
  await holder.kill()
  expect(await next(lines)).toBe('tidy')
  expect(await next(lines)).toBeUndefined()
})

test('a program that stands still when its node is killed may clean up like any other', async () => {
  const holder = new Holder()
  await holder.mark
  const { pid, lines } = await start('of nobody')
  await holder.tell(String(pid))
  process.kill(-pid, 'SIGSTOP')
  await holder.kill()
  expect(await next(lines)).toBe('tidy')
  expect(await next(lines)).toBeUndefined()
})

test('a node that stops in good order leaves what left its group on purpose', async () => {
  const holder = new Holder()
  // A shell looks at the signals that came by their numbers, so it would say first that it was told to end.
  const daemon = await start(
    `${await holder.mark}1`,
    `trap 'echo told' TERM; trap 'echo stayed; exit 0' WINCH`
  )
  // The warden tells all to end before it lets any of them continue.
  const known = await start('of nobody', `trap '' TERM; trap 'echo tidy; exit 0' CONT`)
  await holder.tell(String(known.pid))
  await holder.tell('close')
  expect(await next(known.lines)).toBe('tidy')
  expect(await next(known.lines)).toBeUndefined()
  process.kill(daemon.pid, 'SIGWINCH')
  expect(await next(daemon.lines)).toBe('stayed')
  expect(await next(daemon.lines)).toBeUndefined()
  await holder.kill()
})
