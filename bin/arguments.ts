/**
 * Reads the arguments of a command: flags by `parseArgs`, numbers and pairs, and a hint for who mistyped.
 *
 * Not here: what flags mean (commands/). Every wrong argument is SHOAL_BAD_OPTION and names the nearest right one.
 */
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'
import { isRecord } from '../src/client/checks.ts'
import { type Requires, requirementOf } from '../src/routing/requirement.ts'
import { usageError } from './failure.ts'

type Parsed<Flags extends ParseArgsOptionsConfig> = ReturnType<
  typeof parseArgs<{
    options: Flags
    strict: true
    allowPositionals: true
    allowNegative: true
    tokens: true
  }>
>

export interface Arguments<Flags extends ParseArgsOptionsConfig> {
  readonly values: Parsed<Flags>['values']
  readonly operands: readonly Operand[]
}

export interface Operand {
  readonly text: string
  /** It came after `--`, and means just what it says. */
  readonly isLiteral: boolean
}

/** Ids of jobs may begin with a dash; flags of this length there are none. */
const DASHED_ID = /^-[A-Za-z0-9_-]{15}(:\d+)?$/

/** `--no-x` turns off any flag `x` that takes no value. */
export function readArguments<Flags extends ParseArgsOptionsConfig>(
  command: string,
  args: readonly string[],
  options: Flags
): Arguments<Flags> {
  try {
    const { values, tokens } = parseArgs({
      args: [...args],
      options,
      strict: true,
      allowPositionals: true,
      allowNegative: true,
      tokens: true
    })
    const end = tokens.find(({ kind }) => kind === 'option-terminator')?.index ?? args.length
    const operands = tokens.flatMap((token) =>
      token.kind === 'positional' ? [{ text: token.value, isLiteral: token.index > end }] : []
    )
    refuseEmpty(command, values)
    return { values: values as Parsed<Flags>['values'], operands }
  } catch (error) {
    throw misread(command, error, options)
  }
}

/** No flag means anything without a text: it holds what a variable holds that nobody set. */
function refuseEmpty(command: string, values: object): void {
  const [name] = Object.entries(values).find(([, value]) => [value].flat().includes('')) ?? []
  if (name === undefined) return
  const example = (examples as Readonly<Record<string, string>>)[`--${name}`]
  const advice = example === undefined ? 'a value' : `one, like --${name} ${example}`
  throw usageError(
    `--${name} is "", which is no value; give ${advice}, or leave it out (see \`shoal help ${command}\`)`
  )
}

/** The one job id that a command takes, and its flags. */
export function readJobArguments<Flags extends ParseArgsOptionsConfig>(
  command: string,
  args: readonly string[],
  options: Flags
): { readonly id: string; readonly values: Parsed<Flags>['values'] } {
  const dashed = args.filter((arg) => DASHED_ID.test(arg))
  const others = args.filter((arg) => !DASHED_ID.test(arg))
  const { values, operands } = readArguments(command, others, options)
  const [id, ...more] = [...operands.map(({ text }) => text), ...dashed]
  if (id === undefined) throw usageError(`which job? \`shoal ${command} ID\`; \`shoal jobs\` lists them`)
  if (more.length > 0) throw usageError(`\`shoal ${command}\` takes one job at a time, not also ${more[0]}`)
  return { id, values }
}

export function refuseOperands(command: string, operands: readonly Operand[]): void {
  const [first] = operands
  if (first === undefined) return
  throw usageError(
    `\`shoal ${command}\` takes no ${JSON.stringify(first.text)}; see \`shoal help ${command}\``
  )
}

function misread(command: string, error: unknown, options: ParseArgsOptionsConfig): unknown {
  const { code, message = '' } = error as { code?: string; message?: string }
  if (code?.startsWith('ERR_PARSE_ARGS_') !== true) return error
  const see = `see \`shoal help ${command}\``
  const flag = /'(-[^', ]*)/.exec(message)?.[1] ?? 'like that'
  if (code !== 'ERR_PARSE_ARGS_UNKNOWN_OPTION')
    return usageError(`${flag} of \`shoal ${command}\` ${wanted(flag, message)}; ${see}`, error)
  const names = Object.entries(options).map(([name, { type, default: on }]) =>
    type === 'boolean' && on === true ? `--no-${name}` : `--${name}`
  )
  const near = nearest(flag, names)
  const advice = near === undefined ? see : `did you mean ${near}?`
  const literal = command === 'map' ? ' (inputs that begin with a dash come after --)' : ''
  return usageError(`\`shoal ${command}\` has no flag ${flag}; ${advice}${literal}`, error)
}

/** What Node.js has to say of a flag's value, in the words of this command. */
function wanted(flag: string, message: string): string {
  if (message.includes('does not take')) return 'takes no value'
  return message.includes('ambiguous')
    ? `needs a value (${flag}=VALUE if that begins with a dash)`
    : 'needs a value'
}

/** A right value of each of these, for whoever gave a wrong one. */
const examples = {
  '--data': './node-data',
  '--env': 'SEED=7',
  '--idle-load': '0.3',
  '--key': 'lab.key',
  '--label': 'gpu=a100',
  '--listen': '/ip4/0.0.0.0/tcp/4101',
  '--memory-limit': '2048',
  '--nice': '10',
  '--out': 'results.txt',
  '--peer': '/ip4/192.0.2.1/tcp/4400',
  '--priority': '1',
  '--resource': 'gpu=2',
  '--retries': '2',
  '--slots': '4',
  '--source': "camera='ffmpeg …'"
} as const

type Flag = keyof typeof examples

function wrong(flag: Flag, text: string, advice: string): Error {
  return usageError(`${flag} is ${JSON.stringify(text)}; ${advice} like ${flag} ${examples[flag]}`)
}

/** What milliseconds of a job may be. */
const secondsMax = Math.floor(0xffffffff / 1_000)

/** Seconds, above 0, as milliseconds; `undefined` stays. */
export function milliseconds(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const seconds = /^\d*\.?\d+$/.test(text) ? Number(text) : 0
  if (seconds > 0 && seconds <= secondsMax) return seconds * 1_000
  const bounds = seconds > 0 ? `up to ${secondsMax}` : 'above 0'
  throw usageError(`${flag} is ${JSON.stringify(text)}; give seconds ${bounds}, like ${flag} 30`)
}

export function wholeNumber(flag: Flag, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (/^\d+$/.test(text)) return Number(text)
  throw wrong(flag, text, 'give a whole number,')
}

export function integer(flag: Flag, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (/^-?\d+$/.test(text)) return Number(text)
  throw wrong(flag, text, 'give a whole number,')
}

export function decimal(flag: Flag, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (/^\d*\.?\d+$/.test(text)) return Number(text)
  throw wrong(flag, text, 'give a number,')
}

/** `k=v` each; the last of several for one key counts. */
export function pairs(flag: Flag, texts: readonly string[] | undefined): Record<string, string> | undefined {
  if (texts === undefined) return undefined
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf('=')
      if (at < 1) throw wrong(flag, text, 'write it')
      return [text.slice(0, at), text.slice(at + 1)]
    })
  )
}

/** `k=n` each, n a whole number. */
export function amounts(
  flag: Flag,
  texts: readonly string[] | undefined
): Record<string, number> | undefined {
  const entries = Object.entries(pairs(flag, texts) ?? {})
  const odd = entries.find(([, text]) => !/^\d+$/.test(text))
  if (odd !== undefined) throw wrong(flag, odd.join('='), 'write it')
  return texts === undefined
    ? undefined
    : Object.fromEntries(entries.map(([name, text]) => [name, Number(text)]))
}

function parseRequires(text: string): Requires {
  const advice = `write it like --requires '{"labels":{"gpu":true}}'`
  try {
    const requires = JSON.parse(text)
    if (isRecord(requires)) return requires
  } catch (cause) {
    throw usageError(`--requires is no JSON; ${advice}`, cause)
  }
  throw usageError(`--requires is no object; ${advice}`)
}

/** Throws SHOAL_BAD_OPTION for what is no rule. */
export function readRequires(text: string | undefined): Requires | undefined {
  if (text === undefined) return undefined
  const requires = parseRequires(text)
  requirementOf(requires)
  return requires
}

/** Options that were given; the others keep their defaults. */
export function given<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> }
}

/** The name that was most likely meant: a beginning of it was typed, or it is at most a third wrong. */
export function nearest(typed: string, names: readonly string[]): string | undefined {
  const bare = typed.replace(/^-+/, '')
  if (bare === '') return undefined
  const begun = names.filter((name) => name.replace(/^-+/, '').startsWith(bare))
  if (begun.length === 1) return begun[0]
  // Of equally near ones, that with the right beginning: first letters are seldom wrong.
  const [best] = names
    .map((name) => ({ name, edits: distance(typed, name), isOff: name[0] !== typed[0] }))
    .sort((a, b) => a.edits - b.edits || Number(a.isOff) - Number(b.isOff))
  return best !== undefined && best.edits <= Math.max(1, best.name.length / 3) ? best.name : undefined
}

/** Letters to insert, delete, replace, or swap with their neighbour. */
export function distance(a: string, b: string): number {
  let before: number[] = []
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1]
      const least = Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (isSame ? 0 : 1))
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      next.push(isSwap ? Math.min(least, (before[j - 2] ?? 0) + 1) : least)
    }
    before = row
    row = next
  }
  return row[b.length] ?? 0
}
