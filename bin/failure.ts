/**
 * How a command ends badly: one line that says what happened and what to do, and an exit code.
 *
 * Not here: the codes of errors (src/errors.ts). Stacks are for those who set SHOAL_DEBUG=1.
 */
import { type ErrorCode, explainError, ShoalError } from '../src/errors.ts'
import { plain } from './output.ts'

export const EXIT = { done: 0, failed: 1, usage: 2, noMesh: 3 } as const

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
  if (error instanceof ShoalError) return plain(`${explainError(error)}${adviceFor(error)}`)
  return `shoal: ${plain(explainError(error))}; this was not expected, SHOAL_DEBUG=1 shows where it happened`
}

/** What only the command can advise. */
function adviceFor({ code, message }: ShoalError): string {
  return code === 'SHOAL_NOT_FOUND' && /\bjob\b/.test(message)
    ? '; `shoal jobs` lists those that are known'
    : ''
}

export function usageError(message: string, cause?: unknown): ShoalError {
  return new ShoalError('SHOAL_BAD_OPTION', message, { cause })
}

export function isDebugging(): boolean {
  return process.env.SHOAL_DEBUG === '1'
}
