/**
 * What is too much of a program, found out before anything of it has left: words, variables, inputs.
 *
 * Not here: what is wrong in another way (programs.ts).
 * An argument that no system takes would fail on every node, one after the other; here it is known at once, and for which input.
 */
import { ShoalError } from '../errors.ts'
import { argBytesMax, argvOf, environmentOf } from '../tasks/executor/argv.ts'
import {
  filesMax,
  pathLengthMax,
  type Recipe,
  stdinBytesMax,
  variablesMax,
  wordLengthMax,
  wordsMax
} from '../tasks/executor/program.ts'
import type { TemplateInput } from '../tasks/executor/template.ts'
import { refuse } from './checks.ts'

type Command = Omit<Recipe, 'files'>

const encoder = new TextEncoder()
const advice = 'put it into a file that goes along'

/** Throws SHOAL_BAD_OPTION. */
export function checkRecipe({ command, args, env, stdin, stdinFile, outputs }: Command): void {
  if (args.length > wordsMax) refuse(`\`args\` has ${args.length} entries, more than ${wordsMax}`)
  if (env.length > variablesMax) refuse(`\`env\` has ${env.length} variables, more than ${variablesMax}`)
  if (outputs.length > filesMax) refuse(`\`outputs\` has ${outputs.length} entries, more than ${filesMax}`)
  if (stdin.byteLength > stdinBytesMax)
    refuse(`\`stdin\` has ${stdin.byteLength} bytes, more than ${stdinBytesMax}; ${advice}`)
  const words = { command: [command], args, env: env.map(({ value }) => value) }
  for (const [name, texts] of Object.entries(words)) checkLengths(name, texts, wordLengthMax)
  const names = { env: env.map(({ name }) => name), stdin: [stdinFile], outputs }
  for (const [name, texts] of Object.entries(names)) checkLengths(name, texts, pathLengthMax)
}

function checkLengths(name: string, texts: readonly string[], most: number): void {
  const long = texts.find((text) => text.length > most)
  if (long !== undefined)
    refuse(`\`${name}\` has a text of ${long.length} characters, more than ${most}; ${advice}`)
}

/** What `{}` is; `fate`: of this input and others. Throws SHOAL_BAD_VALUE. */
export function checkInput({ text, number }: TemplateInput, fate: string): void {
  if (text.length <= wordLengthMax) return
  const what = `input ${number} has ${text.length} characters, more than ${wordLengthMax}`
  throw new ShoalError('SHOAL_BAD_VALUE', `${what}; put it into a file, and give its name instead; ${fate}`)
}

/** What the program is started with. Throws SHOAL_BAD_VALUE, without an input SHOAL_BAD_OPTION. */
export function checkArgv(recipe: Command, input: TemplateInput | undefined, fate: string): void {
  const check = (what: string, text: string): void => {
    // A character has three bytes at most, by its length.
    const size = text.length <= argBytesMax / 3 ? 0 : encoder.encode(text).byteLength
    if (size <= argBytesMax) return
    const whose = input === undefined ? what : `${what} of input ${input.number}`
    const message = `${whose} has ${size} bytes, and Linux takes at most ${argBytesMax}; ${advice}; ${fate}`
    throw new ShoalError(input === undefined ? 'SHOAL_BAD_OPTION' : 'SHOAL_BAD_VALUE', message)
  }
  const { file, args } = argvOf(recipe, input)
  const isScript = recipe.isShell
  for (const word of [file, ...args]) check(isScript ? 'the script' : 'an argument', word)
  for (const [name, value] of environmentOf(recipe, input)) check(`the variable ${name}`, `${name}=${value}`)
}
