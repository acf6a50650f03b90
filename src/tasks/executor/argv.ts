/**
 * What a program is started with: the words of its command, filled in for one input.
 *
 * Not here: `{}` and its relatives (template.ts), the start (tree.ts), and who refuses words that are too long (client/program-limits.ts).
 */
import type { ProgramInput, Recipe } from './program.ts'
import { fill, shellWord, type TemplateInput } from './template.ts'

/**
 * Of one argument, or one variable with its name. Linux takes 128 KiB, and counts the byte behind it (MAX_ARG_STRLEN); other systems
 * limit only all of them together.
 */
export const argBytesMax = (128 << 10) - 1

export interface Argv {
  readonly file: string
  readonly args: readonly string[]
  /** For people. */
  readonly title: string
}

export const templateInput = ({ isGiven, text, number }: ProgramInput): TemplateInput | undefined =>
  isGiven ? { text, number } : undefined

export function argvOf(
  { command, args, isShell }: Pick<Recipe, 'command' | 'args' | 'isShell'>,
  input: TemplateInput | undefined
): Argv {
  if (isShell) {
    const script = fill([command, ...args].join(' '), input, shellWord)
    return { file: '/bin/sh', args: ['-c', script, 'sh'], title: script }
  }
  const words = [command, ...args].map((word) => fill(word, input))
  return { file: words[0] ?? '', args: words.slice(1), title: words.map(shellWord).join(' ') }
}

export function environmentOf({ env }: Pick<Recipe, 'env'>, input: TemplateInput | undefined) {
  return env.map(({ name, value }) => [name, fill(value, input)] as const)
}
