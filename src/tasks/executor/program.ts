/**
 * What a job of programs says, and what comes back: the recipe that all its tasks share, the input of one, and its result.
 *
 * Not here: how it is run (programs.ts), how people write it (client/programs.ts).
 * A program travels like a function: its recipe takes the place of the module's code, under a name that no export has, so
 * that keepers, owners and runners need not know the difference.
 */
import type { Ref } from '../../data/ref.ts'
import { type DataId, isDataId } from '../../ids.ts'
import { bytes, codec, flag, list, type Of, record, text, uint } from '../../wire.ts'

/** The `exportName` of jobs whose code is a recipe. */
export const programExport = 'shoal:program'

/** The label of nodes that run programs. */
export const programsLabel = 'allow-run'

/** Of one task, and common to all tasks of a job. More is SHOAL_BAD_OPTION. */
export const filesMax = 1_000
/** Larger files travel as data. */
export const fileInlineMax = 16 << 10
/** Files that one task may bring back, those of folders counted singly. */
export const outputFilesMax = 10_000
/** What is kept of stdout: its beginning. The rest is dropped, and said. */
export const stdoutBytesMax = 1 << 20
/** What is kept of stderr: its end. */
export const stderrBytesMax = 64 << 10
/** Between TERM and KILL, unless the job says otherwise. */
export const killAfterMsDefault = 5_000
export const wordsMax = 20_000
/** Characters of an input, and of each word before it is filled in. */
export const wordLengthMax = 128 << 10
export const pathLengthMax = 4_096
export const variablesMax = 1_000
/** Of stdin, unless it is a file. */
export const stdinBytesMax = 4 << 20

const path = text(pathLengthMax)

/** A file by name and content, which is here, or is data (then `content` is empty). */
export const programFile = record({
  name: path,
  isExecutable: flag,
  content: bytes(fileInlineMax),
  data: text<DataId | ''>(64, (id): id is DataId | '' => id === '' || isDataId(id))
})
export type ProgramFile = Of<typeof programFile>

export const recipes = codec({
  recipe: {
    command: text(wordLengthMax),
    args: list(text(wordLengthMax), wordsMax),
    /** The words are text for `/bin/sh -c`, inputs in it quoted. */
    isShell: flag,
    env: list(record({ name: text(pathLengthMax), value: text(wordLengthMax) }), variablesMax),
    /** Common to all tasks. */
    files: list(programFile, filesMax),
    /** Name of a file in the scratch folder; empty for none. */
    stdinFile: path,
    stdin: bytes(stdinBytesMax),
    /** Name of the file that takes stdout; empty: stdout is part of the result. */
    stdoutFile: path,
    outputs: list(path, filesMax),
    killAfterMs: uint(0xffffffff)
  }
})
export const programInputs = codec({
  input: {
    /** False for the one task of a job without inputs. */
    isGiven: flag,
    text: text(wordLengthMax),
    /** From 1, as the user counts. */
    number: uint(),
    files: list(programFile, filesMax)
  }
})

type Bare<T> = T extends unknown ? Omit<T, 'kind'> : never
export type Recipe = Bare<ReturnType<typeof recipes.parse>>
export type ProgramInput = Bare<ReturnType<typeof programInputs.parse>>

export const encodeRecipe = (recipe: Recipe): Uint8Array => recipes.encode({ kind: 'recipe', ...recipe })
/** Throws SHOAL_BAD_MESSAGE. */
export const parseRecipe = (code: Uint8Array): Recipe => recipes.parse(code)
export const encodeProgramInput = (input: ProgramInput): Uint8Array =>
  programInputs.encode({ kind: 'input', ...input })
/** Throws SHOAL_BAD_MESSAGE. */
export const parseProgramInput = (value: Uint8Array): ProgramInput => programInputs.parse(value)

/** A file that a program made. */
export interface OutputFile {
  /** Its path in the scratch folder. */
  readonly name: string
  readonly isExecutable: boolean
  readonly size: number
  /** A file of more than 16 KiB is data: `mesh.stream(ref)`, `mesh.save(ref, path)`. */
  readonly content: Uint8Array | Ref
}

/** What a program that ended well left: exit code 0, and every output that was declared. */
export interface ProgramResult {
  /** What `{}` stood for; `undefined` without inputs. */
  readonly input: string | undefined
  readonly exitCode: 0
  /** The first MiB of it, read as UTF-8. */
  readonly stdout: string
  /** The same, if it is no UTF-8. */
  readonly stdoutBytes?: Uint8Array
  /** The last 64 KiB of it, and a line for each part of an output folder that was left out. */
  readonly stderr: string
  /** Bytes that were written to each, kept or not. */
  readonly written: { readonly stdout: number; readonly stderr: number }
  /** Declared outputs, in order of declaration; of folders, every file in them, and what links in them lead to. */
  readonly files: readonly OutputFile[]
}

/** True for what a job of programs results in. */
export function isProgramResult(value: unknown): value is ProgramResult {
  const { exitCode, files, written } = Object(value) as Partial<ProgramResult>
  return exitCode === 0 && Array.isArray(files) && typeof written === 'object'
}
