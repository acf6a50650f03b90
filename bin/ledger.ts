/**
 * What `shoal run` has done before in this folder: a line for each input that succeeded, found again by what went into it.
 *
 * Not here: doing it (commands/run.ts). A line is written when the outputs lie in their place, so that whatever ends the
 * command costs at most what was on its way. Content counts, not time: an input, a script or a command that changed is new.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, open, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { FileOption, ProgramOptions } from '../src/client/programs.ts'
import { explainError, ShoalError } from '../src/errors.ts'
import { makeFolder } from '../src/node/folder.ts'
import { fill, hasTemplate, type TemplateInput } from '../src/tasks/executor/template.ts'

export const ledgerFile = '.shoal-run.jsonl'

/** What an input left. */
export interface Entry {
  /** Bytes where it is no text. */
  readonly stdout: string | Uint8Array
  readonly stderr: string
  /** Paths in the folder. */
  readonly files: readonly { readonly name: string; readonly size: number; readonly mtimeMs: number }[]
}

export class Ledger {
  readonly #folder: string
  readonly #file: FileHandle
  readonly #known: Map<string, Entry>
  readonly #files: readonly FileOption[]
  readonly #recipe: string
  /** Whoever did not ask for notes does not fail for want of them. */
  readonly #isWanted: boolean

  private constructor(parts: {
    readonly folder: string
    readonly file: FileHandle
    readonly known: Map<string, Entry>
    readonly files: readonly FileOption[]
    readonly recipe: string
    readonly isWanted: boolean
  }) {
    this.#folder = parts.folder
    this.#file = parts.file
    this.#known = parts.known
    this.#files = parts.files
    this.#recipe = parts.recipe
    this.#isWanted = parts.isWanted
  }

  /**
   * What was noted before counts only if `isResumed`. Rejects with SHOAL_DISK; `undefined` in a folder that cannot be written to,
   * unless `isWanted`.
   */
  static async open(
    folder: string,
    options: ProgramOptions,
    { isResumed, isWanted }: { readonly isResumed: boolean; readonly isWanted: boolean }
  ): Promise<Ledger | undefined> {
    const path = join(folder, ledgerFile)
    try {
      await makeFolder(folder)
      const known = isResumed ? await read(path) : new Map<string, Entry>()
      const files = (options.files ?? []).map((file) => (typeof file === 'string' ? { path: file } : file))
      const { command, args, shell, env, stdin, stdout, outputs } = options
      const shared = files.filter((file) => 'path' in file && !hasTemplate(file.path))
      const contents = await Promise.all(shared.map((file) => hashOf((file as { path: string }).path)))
      const recipe = JSON.stringify([command, args, shell, env, stdin, stdout, outputs, files, contents])
      const isNumbered = recipe.includes('{#}')
      return new Ledger({
        folder,
        file: await open(path, 'a'),
        known,
        files: files.filter((file) => !shared.includes(file)),
        recipe: `${isNumbered ? '#' : ''}${recipe}`,
        isWanted
      })
    } catch (error) {
      if (!isWanted) return undefined
      throw new ShoalError('SHOAL_DISK', `${path} cannot be used (${explainError(error)})`, { cause: error })
    }
  }

  /** By content: of the command, of the input, and of the files of both. `undefined` if one cannot be read: who sends it says so. */
  async keyOf(input: TemplateInput): Promise<string | undefined> {
    const paths = this.#files.map((file) => ('path' in file ? fill(file.path, input) : ''))
    const hashes = Promise.all(paths.map((path) => (path === '' ? '' : hashOf(path))))
    const contents = await hashes.catch(() => undefined)
    if (contents === undefined) return undefined
    const number = this.#recipe.startsWith('#') ? input.number : 0
    return createHash('sha256')
      .update(JSON.stringify([this.#recipe, input.text, number, contents]))
      .digest('base64url')
  }

  /** What was left by a success, if all of it is still there. */
  async find(key: string): Promise<Entry | undefined> {
    const entry = this.#known.get(key)
    if (entry === undefined) return undefined
    for (const { name, size, mtimeMs } of entry.files) {
      const found = await stat(join(this.#folder, name)).catch(() => undefined)
      if (found === undefined || found.size !== size || found.mtimeMs !== mtimeMs) return undefined
    }
    return entry
  }

  /** `names`: the files that it left in the folder. */
  async note(key: string, { stdout, stderr }: Omit<Entry, 'files'>, names: readonly string[]): Promise<void> {
    const files = await Promise.all(
      names.map(async (name) => {
        const { size, mtimeMs } = await stat(join(this.#folder, name))
        return { name, size, mtimeMs }
      })
    )
    const told =
      typeof stdout === 'string' ? { stdout } : { stdout64: Buffer.from(stdout).toString('base64') }
    const noted = this.#file.appendFile(`${JSON.stringify({ key, ...told, stderr, files })}\n`)
    await noted.catch((error: unknown) => {
      if (!this.#isWanted) return
      const what = `${join(this.#folder, ledgerFile)} cannot be written`
      throw new ShoalError('SHOAL_DISK', `${what} (${explainError(error)})`, { cause: error })
    })
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

/** Lines that were cut off by a crash, or are somebody else's, are passed over. */
async function read(path: string): Promise<Map<string, Entry>> {
  const known = new Map<string, Entry>()
  const text = await readFile(path, 'utf8').catch((error: { code?: string }) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  for (const line of text.split('\n')) {
    const entry = parse(line)
    if (entry !== undefined) known.set(entry.key, entry)
  }
  return known
}

function parse(line: string): (Entry & { key: string }) | undefined {
  try {
    const entry = JSON.parse(line)
    const { key, stdout64, stderr, files } = entry
    const stdout = typeof stdout64 === 'string' ? Buffer.from(stdout64, 'base64') : entry.stdout
    const areTexts = [key, stdout64 ?? stdout, stderr].every((text) => typeof text === 'string')
    const areFiles = Array.isArray(files) && files.every((file) => typeof file?.name === 'string')
    return areTexts && areFiles ? { key, stdout, stderr, files } : undefined
  } catch {
    return undefined
  }
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  return hash.digest('base64url')
}
