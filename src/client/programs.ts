/**
 * A program over inputs as people ask for it, made into the recipe and the inputs that travel.
 *
 * Not here: how it is run (tasks/executor/programs.ts), options that all jobs have (options.ts).
 * Files are looked at before anything is submitted, so that a name that was mistyped costs nothing; what `{}` stands for on
 * the other side is the name that the file has there.
 */
import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { closeEnvelope, refsMax } from '../data/envelope.ts'
import type { DataId, Digest } from '../ids.ts'
import type { Requires, Rule } from '../routing/requirement.ts'
import {
  encodeProgramInput,
  encodeRecipe,
  fileInlineMax,
  filesMax,
  killAfterMsDefault,
  type ProgramFile,
  type ProgramInput,
  programExport,
  programsLabel,
  type Recipe
} from '../tasks/executor/program.ts'
import { fill, hasTemplate, insideName, isInside, type TemplateInput } from '../tasks/executor/template.ts'
import { cut, isRecord, refuse, shown, truth } from './checks.ts'
import type { Shipped } from './functions.ts'
import { checkMapOptions, type MapSettings } from './options.ts'
import { checkArgv, checkInput, checkRecipe } from './program-limits.ts'
import { codeBytesMax } from './protocol.ts'
import type { MapOptions } from './types.ts'

/** A file that goes along. `{}` and its relatives are filled in, and make it a file of one input. */
export type FileOption =
  /** As `as` in the folder of the program; default: the same path, or the file's name if that path leads outside. */
  | { readonly path: string; readonly as?: string }
  | { readonly content: string | Uint8Array; readonly as: string }

/** An input, and what `{#}` stands for, if that is not its place among the inputs. */
export type EachInput = string | { readonly text: string; readonly number: number }

export interface ProgramOptions extends Omit<MapOptions, 'scope'> {
  /** Found by the PATH of the node, or a path in the program's folder, like `./prog` for a file that goes along. */
  readonly command: string
  /**
   * In these, in `command`, `env`, `files`, `outputs`, and names for stdin and stdout: `{}` is the input, `{/}` its last part, `{.}` without
   * extension, `{/.}` both, `{//}` its folder, `{#}` its number from 1. If no word has any, the input becomes the last one.
   */
  readonly args?: readonly string[]
  /** `command` and `args`, with blanks between them, are a script for `/bin/sh`; inputs in it are quoted. Default false. */
  readonly shell?: boolean
  /** One task for each. Default: a single task without input, for which braces mean nothing. */
  readonly each?: Iterable<EachInput> | AsyncIterable<EachInput>
  /** Files that go along; `'{}'` sends the file that the input names. A name alone is short for `{ path }`. */
  readonly files?: readonly (string | FileOption)[]
  /** Besides the environment of the node. */
  readonly env?: Readonly<Record<string, string>>
  /** Bytes, or a file in the program's folder. Default: nothing. */
  readonly stdin?: string | Uint8Array | { readonly file: string }
  /** A file that takes stdout, and is an output. Default: stdout is part of the result, up to 1 MiB. */
  readonly stdout?: string
  /**
   * Files and folders that the program makes, and that come back. Missing, they fail the task (TASK_NO_OUTPUT). Links are followed, as
   * far as they lead to what the program made. What else lies in a folder, like pipes, is left out, and `stderr` says so; folders
   * without files do not come back.
   */
  readonly outputs?: readonly string[]
  /** Milliseconds between TERM and KILL if the program has to be ended. Default 5,000. */
  readonly killAfter?: number
}

const own = [
  'command',
  'args',
  'shell',
  'each',
  'files',
  'env',
  'stdin',
  'stdout',
  'outputs',
  'killAfter'
] as const
const killAfterMax = 0xffffffff
/** Inputs whose files are read ahead. */
const aheadMax = 4

/** Makes bytes, or a file, data of the mesh. */
export type Put = (source: Uint8Array | { readonly file: string }) => Promise<DataId>

export interface ProgramPlan {
  readonly settings: MapSettings
  /** Looks for the files. Rejects with SHOAL_BAD_OPTION if one is missing. Of a stream of inputs nobody knows what will come. */
  check(): Promise<void>
  /** Checks, and reads what all tasks share. `put` takes what is too large to travel with it. */
  ship(put: Put): Promise<Shipped>
  /** Encoded, as they are wanted. After `ship`. */
  inputs(put: Put): AsyncGenerator<Uint8Array, void, undefined>
}

/** Throws SHOAL_BAD_OPTION, and SHOAL_BAD_VALUE for inputs that are too long. */
export function planProgram(options: ProgramOptions): ProgramPlan {
  if (!isRecord(options))
    refuse(`run() takes options, as in run({ command: 'ls' }); these are ${shown(options)}`)
  const rest = Object.fromEntries(
    Object.entries(options).filter(([name]) => !own.some((one) => one === name))
  )
  if ('scope' in rest) refuse('`scope` is for functions; a program gets `env` and `files`')
  const { requires = {} } = options
  // The first part of a rule is what `explain` names first.
  const settings = checkMapOptions({ ...rest, requires: onlyWhereAllowed(requires) })
  return new Plan({ ...settings, name: settings.name ?? nameOf(options.command) }, options)
}

/** Programs run where their owner allows it: a label like any other. */
export function onlyWhereAllowed(requires: Requires): Requires {
  if (typeof requires !== 'object' || requires === null) return requires
  const { resources, source, ...rule } = requires
  const isAllowed: Rule = { labels: { [programsLabel]: true } }
  const all = Object.keys(rule).length === 0 ? [isAllowed] : [isAllowed, rule]
  return { all, ...(resources && { resources }), ...(source === undefined ? {} : { source }) }
}

/**
 * What `{}` is on the other side: an input that names a file that goes along is the name that this file has there. If it began
 * with a dash only there, it would be taken for a flag.
 */
export function textThere({ files = [] }: Pick<ProgramOptions, 'files'>, text: string): string {
  const isFile = files.some(
    (file) => file === '{}' || (file === Object(file) && isItself(file as FileOption))
  )
  if (!isFile) return text
  const name = nameInside(text)
  return name.startsWith('-') && !text.startsWith('-') ? `./${name}` : name
}

const isItself = (file: FileOption): boolean => 'path' in file && file.path === '{}' && file.as === undefined

const nameOf = (command: string): string => basename(String(command).split(' ')[0] ?? '').slice(0, 128)

class Plan implements ProgramPlan {
  readonly settings: MapSettings
  readonly #options: ProgramOptions
  readonly #recipe: Omit<Recipe, 'files'>
  readonly #shared: readonly FileOption[]
  readonly #single: readonly FileOption[]
  /** Data that every task needs. */
  #sharedData: readonly DataId[] = []

  constructor(settings: MapSettings, options: ProgramOptions) {
    this.settings = settings
    this.#options = options
    this.#recipe = recipeOf(options)
    checkRecipe(this.#recipe)
    if (options.each === undefined) checkArgv(this.#recipe, undefined, nothingLeft)
    const { files: given = [] } = options
    if (!Array.isArray(given))
      refuse(`\`files\` is ${shown(given)}; it is a list of paths, or of { path, as }`)
    const files = given.map(fileOption)
    if (files.length > filesMax) refuse(`\`files\` has more than ${filesMax} entries`)
    const isSingle = (file: FileOption): boolean => options.each !== undefined && isTemplate(file)
    this.#shared = files.filter((file) => !isSingle(file))
    this.#single = files.filter(isSingle)
  }

  async check(): Promise<void> {
    const { each } = this.#options
    for (const file of this.#shared) if ('path' in file) await lookAt(file.path)
    if (Array.isArray(each)) for (const [at, one] of each.entries()) await this.#look(inputOf(one, at + 1))
  }

  async ship(put: Put): Promise<Shipped> {
    await this.check()
    const files = await Promise.all(this.#shared.map((file) => load(file, undefined, put)))
    refuseDoubles(files)
    this.#checkStdin(files)
    this.#sharedData = dataIn(files)
    const code = encodeRecipe({ ...this.#recipe, files })
    if (code.byteLength > codeBytesMax)
      refuse(
        `small files of all tasks are ${code.byteLength} bytes, more than ${codeBytesMax}; make an archive`
      )
    const digest = createHash('sha256').update(code).digest('base64url') as Digest
    return { code, digest, exportName: programExport, name: this.settings.name ?? '' }
  }

  /** Of files that depend on an input nobody knows yet what they are called. */
  #checkStdin(files: readonly ProgramFile[]): void {
    const { stdinFile } = this.#recipe
    if (stdinFile === '' || hasTemplate(stdinFile) || this.#single.length > 0) return
    if (!files.some(({ name }) => name === stdinFile))
      refuse(`\`stdin\` is the file ${stdinFile}, which is none of \`files\`; add it to them`)
  }

  async *inputs(put: Put): AsyncGenerator<Uint8Array, void, undefined> {
    const { each } = this.#options
    if (each === undefined) {
      yield this.#encode({ isGiven: false, text: '', number: 1, files: [] })
      return
    }
    const source = Symbol.asyncIterator in each ? each[Symbol.asyncIterator]() : each[Symbol.iterator]()
    const most = this.#single.length === 0 ? 1 : aheadMax + 1
    const ready: Promise<Uint8Array>[] = []
    let coming: Promise<IteratorResult<EachInput, unknown>> | undefined
    let [number, isOver] = [0, false]
    try {
      while (!isOver || ready.length > 0) {
        if (!isOver && ready.length < most) coming ??= Promise.resolve(source.next())
        coming?.catch(() => {})
        // Who waits for the next input does not hold up the one that is there.
        const news = await Promise.race([coming ?? ready[0], ready[0] ?? coming])
        if (news instanceof Uint8Array) {
          ready.shift()
          yield news
          continue
        }
        coming = undefined
        isOver = news?.done !== false
        if (news?.done !== false) continue
        const next = this.#input(inputOf(news.value, ++number), put)
        // Whoever waits for it hears of it; meanwhile it is nobody's fault.
        next.catch(() => {})
        ready.push(next)
      }
    } finally {
      const closed = isOver ? undefined : Promise.resolve(source.return?.())
      closed?.catch(() => {})
      // One that waits for its next input is closed after that, and nobody waits for it.
      if (coming === undefined) await closed
    }
  }

  async #input(input: TemplateInput, put: Put): Promise<Uint8Array> {
    this.#checkWords(input, fateFrom(input))
    const files = await Promise.all(this.#single.map((file) => load(file, input, put)))
    refuseDoubles(files)
    const text = textThere(this.#options, input.text)
    return this.#encode({ isGiven: true, text, number: input.number, files })
  }

  /** With the names of all data before it, so that nodes see to it without looking inside. */
  #encode(input: ProgramInput): Uint8Array {
    const ids = [...new Set([...this.#sharedData, ...dataIn(input.files)])]
    const inner = encodeProgramInput(input)
    if (ids.length > refsMax)
      refuse(
        `a task has ${ids.length} files of more than ${fileInlineMax} bytes, ${refsMax} are allowed; make an archive`
      )
    return ids.length === 0 ? inner : closeEnvelope({ kind: 'naming', ids, inner })
  }

  async #look(input: TemplateInput): Promise<void> {
    this.#checkWords(input, nothingLeft)
    for (const file of this.#single) if ('path' in file) await lookAt(fill(file.path, input))
    const there = { ...input, text: textThere(this.#options, input.text) }
    for (const name of this.#recipe.outputs) checkInside(fill(name, there), 'outputs')
  }

  #checkWords(input: TemplateInput, fate: string): void {
    checkInput(input, fate)
    checkArgv(this.#recipe, { ...input, text: textThere(this.#options, input.text) }, fate)
  }
}

function recipeOf(options: ProgramOptions): Omit<Recipe, 'files'> {
  const { command, args = [], shell = false, env = {}, stdin = '', stdout = '', each } = options
  const { outputs = [], killAfter = killAfterMsDefault } = options
  if (typeof command !== 'string' || command === '') refuse('`command` is the name or path of a program')
  for (const [name, texts] of Object.entries({ args, outputs }))
    if (!Array.isArray(texts) || !texts.every((text) => typeof text === 'string'))
      refuse(`\`${name}\` is a list of texts`)
  if (!(killAfter >= 0 && killAfter <= killAfterMax))
    refuse(`\`killAfter\` is ${killAfter}; it is milliseconds from 0 to ${killAfterMax}`)
  truth('shell', shell)
  if (!isRecord(env) || !Object.values(env).every((value) => typeof value === 'string'))
    refuse('`env` is an object of texts, as in { SEED: "7" }')
  if (each !== undefined && !(isObject(each) && (Symbol.iterator in each || Symbol.asyncIterator in each)))
    refuse(`\`each\` is ${shown(each)}; it is a list of inputs, or anything to iterate`)
  const isFile = isObject(stdin) && 'file' in stdin && typeof stdin.file === 'string'
  if (typeof stdin !== 'string' && !(stdin instanceof Uint8Array) && !isFile)
    refuse(`\`stdin\` is ${shown(stdin)}; it is a text, bytes, or { file } of the program's folder`)
  if (typeof stdout !== 'string') refuse(`\`stdout\` is ${shown(stdout)}; it is the name of a file`)
  const stdinFile = isFile ? stdin.file : ''
  const bytes = typeof stdin === 'string' ? new TextEncoder().encode(stdin) : stdin
  const variables = Object.entries(env).map(([name, value]) => ({ name, value }))
  const words = [command, ...args, stdinFile, ...variables.map(({ value }) => value)]
  const isLast = each !== undefined && !words.some(hasTemplate)
  const made = stdout === '' ? outputs : [...outputs, stdout]
  if (each === undefined) for (const name of made) checkInside(name, 'outputs')
  return {
    command,
    args: isLast ? [...args, '{}'] : args,
    isShell: shell,
    env: variables,
    stdinFile,
    stdin: bytes instanceof Uint8Array ? bytes : new Uint8Array(),
    stdoutFile: stdout,
    outputs: made,
    killAfterMs: Math.ceil(killAfter)
  }
}

function fileOption(file: string | FileOption): FileOption {
  if (typeof file === 'string') return { path: file }
  const isPath = isObject(file) && 'path' in file && typeof file.path === 'string'
  const isContent = isObject(file) && 'content' in file && typeof file.as === 'string'
  return isPath || isContent
    ? file
    : refuse(`\`files\` has ${shown(file)}; it is a path, { path, as }, or { content, as }`)
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

const isTemplate = (file: FileOption): boolean =>
  ('path' in file && hasTemplate(file.path)) || hasTemplate(file.as ?? '')

const inputOf = (one: EachInput, number: number): TemplateInput =>
  typeof one === 'string' ? { text: one, number } : one

async function load(file: FileOption, input: TemplateInput | undefined, put: Put): Promise<ProgramFile> {
  if ('content' in file) {
    const { content: given } = file
    const name = checkInside(fill(file.as, input), 'files')
    const content = typeof given === 'string' ? new TextEncoder().encode(given) : given
    if (content.byteLength <= fileInlineMax) return { name, isExecutable: false, content, data: '' }
    return { name, isExecutable: false, content: nothing, data: await put(content) }
  }
  const path = fill(file.path, input)
  const { isExecutable, size } = await lookAt(path, input && fateFrom(input))
  const name = file.as === undefined ? nameInside(path) : checkInside(fill(file.as, input), 'files')
  if (size <= fileInlineMax) return { name, isExecutable, content: await readFile(path), data: '' }
  return { name, isExecutable, content: nothing, data: await put({ file: path }) }
}

const nothing = new Uint8Array(0)
const nothingLeft = 'nothing was submitted'
const fateFrom = ({ number }: TemplateInput): string =>
  `input ${number} and what follows it were not submitted`
const dataIn = (files: readonly ProgramFile[]): DataId[] =>
  files.flatMap(({ data }) => (data === '' ? [] : [data]))

async function lookAt(path: string, fate = nothingLeft): Promise<{ isExecutable: boolean; size: number }> {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined) refuse(`there is no file ${cut(path)}; ${fate}`)
  if (!found.isFile()) refuse(`${cut(path)} is no file; make an archive of a folder, or send its files`)
  return { isExecutable: (found.mode & 0o111) !== 0, size: found.size }
}

function nameInside(path: string): string {
  return insideName(path) ?? refuse(`${JSON.stringify(cut(path))} names no file`)
}

function checkInside(name: string, where: string): string {
  if (isInside(name)) return name
  return refuse(`\`${where}\` has ${JSON.stringify(cut(name))}; it is a path inside of the program's folder`)
}

function refuseDoubles(files: readonly ProgramFile[]): void {
  const names = files.map(({ name }) => name)
  const double = names.find((name, at) => names.indexOf(name) !== at)
  if (double !== undefined)
    refuse(`two files would be ${cut(double)} in the program's folder; give one of them another name`)
}
