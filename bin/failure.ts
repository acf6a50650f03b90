/**
 * How a command ends badly: one line that says what happened and what to do, and an exit code.
 *
 * Not here: the codes of errors (src/errors.ts). Stacks are for those who set SHOAL_DEBUG=1.
 */
import { type ErrorCode, explainError, ShoalError } from '../src/errors.ts'
import { plain } from './output.ts'

export const EXIT = { done: 0, failed: 1, usage: 2, noMesh: 3 } as const

const lineMax = 2_000

const isUsage: ReadonlySet<ErrorCode> = new Set([
  'SHOAL_BAD_FUNCTION',
  'SHOAL_BAD_KEY',
  'SHOAL_BAD_OPTION',
  'SHOAL_BAD_VALUE',
  'SHOAL_DATA_IN_USE',
  'SHOAL_NOT_FOUND',
  'SHOAL_OLD_NODE',
  'SHOAL_PORT_TAKEN'
])

export function exitCodeOf(error: unknown): number {
  if (!(error instanceof ShoalError)) return EXIT.failed
  if (error.code === 'SHOAL_NO_MESH' || error.code === 'SHOAL_REFUSED') return EXIT.noMesh
  return isUsage.has(error.code) ? EXIT.usage : EXIT.failed
}

/** `CODE: what happened; what to do`, in one line. */
export function errorLine(error: unknown): string {
  if (isDebugging() && error instanceof Error) return error.stack ?? String(error)
  if (error instanceof ShoalError) return withoutMiddle(plain(`${flagNamed(error)}${adviceFor(error)}`))
  return `shoal: ${plain(explainError(error))}; this was not expected, SHOAL_DEBUG=1 shows where it happened`
}

/** Whatever was given is told, and what to do about it comes last. */
function withoutMiddle(line: string): string {
  return line.length > lineMax ? `${line.slice(0, lineMax / 2)} … ${line.slice(-lineMax / 2)}` : line
}

/** Options that are called otherwise than their flags. */
const flagsOf: Readonly<Record<string, string>> = {
  files: 'file',
  heapMb: 'memory-limit',
  labels: 'label',
  outputs: 'out',
  peers: 'peer',
  resources: 'resource',
  targets: 'target',
  timeout: 'task-timeout'
}

/** Whoever gave a flag is told of that, and not of the option that it became. */
function flagNamed(error: ShoalError): string {
  const text = explainError(error)
  if (error.code !== 'SHOAL_BAD_OPTION') return text
  return text.replace(/(?<=^SHOAL_BAD_OPTION: )`(\w+)(?:\.(\w+))?`/, (_, option: string, part = '') => {
    const flag = flagsOf[option] ?? option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
    return `--${flag} ${part}`.trimEnd()
  })
}

/** What only the command can advise. */
function adviceFor({ code, message }: ShoalError): string {
  if (code === 'SHOAL_NOT_FOUND' && /\bjob\b/.test(message))
    return '; `shoal jobs` lists those that are known'
  // Words of a command line are texts here, and what is none was changed to this letter.
  const isNoText = code === 'SHOAL_BAD_OPTION' && /^there is no file .*\uFFFD/.test(message)
  return isNoText ? '; rename a file whose name is no UTF-8' : ''
}

export function usageError(message: string, cause?: unknown): ShoalError {
  return new ShoalError('SHOAL_BAD_OPTION', message, { cause })
}

export function isDebugging(): boolean {
  return process.env.SHOAL_DEBUG === '1'
}
