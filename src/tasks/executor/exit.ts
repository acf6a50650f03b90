/**
 * How programs fail, in words: an exit code, a signal, an output that is missing, a command that is not there.
 *
 * Not here: noticing it (programs.ts, tree.ts), how failures travel (failure.ts).
 */
import { type ProgramExit, type RemoteFailure, ShoalError } from '../../errors.ts'
import { failureOf } from './failure.ts'
import { NoOutput } from './made.ts'
import type { TreeEnd } from './tree.ts'

/** Characters of stdout, and of stderr, that travel with a failure. */
const tailMax = 8 << 10
/** A character has four bytes at most. */
export const tailBytesMax = 4 * tailMax

export class ExitFailure extends Error {
  constructor(title: string, end: TreeEnd) {
    const how = end.signal === null ? `ended with exit code ${end.code}` : `was ended by ${end.signal}`
    const last = textOf(end.stderr).trimEnd().split('\n').at(-1)?.trim()
    super(`\`${shortened(title)}\` ${how}${last ? `: ${shortened(last)}` : ''}`)
  }
}

const shortened = (text: string): string => (text.length > 200 ? `${text.slice(0, 199)}…` : text)
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const tailOf = (bytes: Uint8Array): string => textOf(bytes).slice(-tailMax)

/** How a program ended, with the end of what it printed. */
export function exitOf({ code, signal, stderr }: TreeEnd, stdoutEnd: Uint8Array): ProgramExit {
  return { code, signal, stderr: tailOf(stderr), stdout: tailOf(stdoutEnd) }
}

/** Of a program that was ended because of its memory: by TERM and KILL at once, and told as the latter, whichever it was. */
export function memoryFailure(
  usedMb: number,
  mostMb: number | undefined,
  where: string,
  printed: Pick<ProgramExit, 'stdout' | 'stderr'> = { stdout: '', stderr: '' }
): RemoteFailure {
  const advice = 'require nodes that have more'
  const message = `the program used ${usedMb} MB of memory where it may use ${mostMb}, and was ended, on ${where}; ${advice}`
  const exit = { ...printed, code: null, signal: 'SIGKILL' }
  return { code: 'TASK_EXIT', name: 'ExitError', message, stack: '', exit }
}

/** Of whatever was thrown on the way from a recipe to a result. */
export function failureFrom(thrown: unknown, command: string): RemoteFailure {
  if (thrown instanceof ExitFailure)
    return { code: 'TASK_EXIT', name: 'ExitError', message: thrown.message, stack: '' }
  if (thrown instanceof NoOutput)
    return { code: 'TASK_NO_OUTPUT', name: 'OutputError', message: thrown.message, stack: '' }
  const { code, syscall = '' } = Object(thrown) as { code?: string; syscall?: string }
  if (syscall.startsWith('spawn') && (code === 'ENOENT' || code === 'EACCES')) {
    const what = code === 'ENOENT' ? 'there is no such command' : 'it may not be executed'
    const advice = 'install it there, send it along as a file, or require nodes that have it'
    const message = `${command} cannot be started on this node: ${what}; ${advice}`
    return { code: 'TASK_NO_COMMAND', name: 'CommandError', message, stack: '' }
  }
  if (syscall.startsWith('spawn') && code === 'E2BIG') {
    const what = 'its arguments and environment are larger than the system takes'
    const message = `${command} cannot be started on this node: ${what}; put what is large into a file that goes along`
    return { code: 'TASK_FAILED', name: 'CommandError', message, stack: '' }
  }
  return failureOf(thrown, thrown instanceof ShoalError ? thrown.code : 'TASK_FAILED')
}
