/**
 * Inputs of a job as they are written on a command line: texts, globs, JSON, and lines of stdin.
 *
 * Not here: sending them. Lines are read as the job asks for them, so that stdin may be endless.
 */
import { isUtf8 } from 'node:buffer'
import { existsSync } from 'node:fs'
import { glob, stat } from 'node:fs/promises'
import type { Operand } from './arguments.ts'
import { usageError } from './failure.ts'
import { brief } from './output.ts'

export type Inputs = readonly unknown[] | AsyncGenerator<unknown, void, undefined>

const isStdin = ({ text, isLiteral }: Operand): boolean => text === '-' && !isLiteral

/**
 * Texts as they are, or read as JSON; globs become the files that they match. An array, unless stdin is among them.
 * Rejects with SHOAL_BAD_OPTION for a glob without files, a name that is no UTF-8, or a text that is no JSON; later, for such a
 * line of stdin.
 */
export async function readInputs(
  operands: readonly Operand[],
  isJson: boolean,
  stdin: AsyncIterable<Uint8Array>
): Promise<Inputs> {
  if (operands.length === 0) throw usageError('no inputs; give some, or - for the lines of stdin')
  if (operands.filter(isStdin).length > 1) throw usageError('- is given twice; stdin can be read only once')
  const parts: (unknown[] | undefined)[] = []
  for (const operand of operands) {
    if (isStdin(operand)) parts.push(undefined)
    else if (isJson)
      parts.push([parseInput(operand.text, `the input ${JSON.stringify(brief(operand.text))}`)])
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
  for await (const path of glob(text)) {
    const found = await stat(path).catch(() => undefined)
    // Node.js gives names as texts, and by that of a name that is none no file is found.
    if (found === undefined && path.includes('\uFFFD'))
      throw usageError(`the name of ${brief(path)} is no UTF-8; rename that file`)
    if (found?.isDirectory() !== true) files.push(path)
  }
  if (files.length > 0) return files.sort()
  const advice = 'check the pattern, or put -- before inputs that are no patterns'
  throw usageError(`no file matches ${brief(text)}; ${advice}`)
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

/** Without their ends, and without the mark (BOM) that some systems begin a text with. The last one may lack its end. Rejects with SHOAL_BAD_OPTION at one that is no text. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, undefined> {
  let rest: Uint8Array[] = []
  let count = 0
  for await (const chunk of chunks) {
    // The end of a line that came in many parts is looked for in the new part only.
    const end = chunk.lastIndexOf(newline)
    rest.push(end < 0 ? chunk : chunk.subarray(0, end))
    if (end < 0) continue
    for (const line of textsOf(Buffer.concat(rest), count)) {
      const text = count++ === 0 ? withoutMark(line) : line
      yield text.endsWith('\r') ? text.slice(0, -1) : text
    }
    rest = end + 1 < chunk.length ? [chunk.subarray(end + 1)] : []
  }
  const last = Buffer.concat(rest)
  if (last.length === 0) return
  for (const line of textsOf(last, count)) {
    const text = count === 0 ? withoutMark(line) : line
    if (text !== '') yield text
  }
}

const withoutMark = (line: string): string => (line.startsWith('\uFEFF') ? line.slice(1) : line)

const newline = 0x0a

/** Lines that follow on `count` others, up to one that is no UTF-8: that throws. */
function* textsOf(lines: Buffer, count: number): Generator<string, void, undefined> {
  if (isUtf8(lines)) return yield* lines.toString().split('\n')
  for (const line of lines.toString('latin1').split('\n')) {
    count++
    const bytes = Buffer.from(line, 'latin1')
    if (!isUtf8(bytes))
      throw usageError(`line ${count} of stdin is no UTF-8; convert it, as \`iconv -f latin1 -t utf-8\` does`)
    yield bytes.toString()
  }
}

function parseInput(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw usageError(`${what} is no JSON; without --json-lines, inputs are texts`, error)
  }
}
