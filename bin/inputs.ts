/**
 * Inputs of a job as they are written on a command line: texts, globs, JSON, and lines of stdin.
 *
 * Not here: sending them. Lines are read as the job asks for them, so that stdin may be endless.
 */
import { existsSync } from 'node:fs'
import { glob, stat } from 'node:fs/promises'
import type { Operand } from './arguments.ts'
import { usageError } from './failure.ts'

export type Inputs = readonly unknown[] | AsyncGenerator<unknown, void, undefined>

const isStdin = ({ text, isLiteral }: Operand): boolean => text === '-' && !isLiteral

/**
 * Texts as they are, or read as JSON; globs become the files that they match. An array, unless stdin is among them.
 * Rejects with SHOAL_BAD_OPTION for a glob without files or a text that is no JSON; later, for such a line of stdin.
 */
export async function readInputs(
  operands: readonly Operand[],
  isJson: boolean,
  stdin: AsyncIterable<string>
): Promise<Inputs> {
  if (operands.length === 0) throw usageError('no inputs; give some, or - for the lines of stdin')
  if (operands.filter(isStdin).length > 1) throw usageError('- is given twice; stdin can be read only once')
  const parts: (unknown[] | undefined)[] = []
  for (const operand of operands) {
    if (isStdin(operand)) parts.push(undefined)
    else if (isJson) parts.push([parseInput(operand.text, `the input ${JSON.stringify(operand.text)}`)])
    else parts.push(operand.isLiteral ? [operand.text] : await filesOf(operand.text))
  }
  const at = parts.indexOf(undefined)
  if (at < 0) return parts.flatMap((part) => part ?? [])
  const before = parts.slice(0, at).flatMap((part) => part ?? [])
  const after = parts.slice(at + 1).flatMap((part) => part ?? [])
  return withLines(before, linesOf(stdin), isJson, after)
}

/** The files that a glob matches, in order; a text that is no glob, or names a file as it is, stays. */
async function filesOf(text: string): Promise<string[]> {
  if (!/[*?]|\[[^\]]+\]|\{.*\}/.test(text) || existsSync(text)) return [text]
  const files: string[] = []
  for await (const path of glob(text)) if (!(await stat(path)).isDirectory()) files.push(path)
  if (files.length > 0) return files.sort()
  const advice = 'check the pattern, or put -- before inputs that are no patterns'
  throw usageError(`no file matches ${text}; ${advice}`)
}

async function* withLines(
  before: readonly unknown[],
  lines: AsyncIterable<string>,
  isJson: boolean,
  after: readonly unknown[]
): AsyncGenerator<unknown, void, undefined> {
  yield* before
  let number = 0
  for await (const line of lines) {
    number++
    if (!isJson) yield line
    else if (line.trim() !== '') yield parseInput(line, `line ${number} of stdin`)
  }
  yield* after
}

/** Without their ends. The last one may lack it. */
export async function* linesOf(chunks: AsyncIterable<string>): AsyncGenerator<string, void, undefined> {
  let rest = ''
  for await (const chunk of chunks) {
    // The end of a line that came in many parts is looked for in the new part only.
    if (!chunk.includes('\n')) {
      rest += chunk
      continue
    }
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) yield line.endsWith('\r') ? line.slice(0, -1) : line
  }
  if (rest !== '') yield rest
}

function parseInput(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw usageError(`${what} is no JSON; without --json-lines, inputs are texts`, error)
  }
}
