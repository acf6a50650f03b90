/**
 * Folders in which programs run: one for each attempt, filled with its files, emptied of its outputs, and removed.
 *
 * Not here: the programs (programs.ts, tree.ts).
 * Everything lies in one folder of this boot, so that whatever a crash leaves is removed as a whole: by the warden at once, or
 * at the next start.
 */
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, opendir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { explainError, ShoalError } from '../../errors.ts'
import { type OutputFile, outputFilesMax, type ProgramFile } from './program.ts'
import { isInside } from './template.ts'

/** Where one attempt runs. */
export interface Place {
  /** Its current folder. */
  readonly work: string
  /** For `TMPDIR`. */
  readonly temp: string
  /** What is written here is the node's. */
  readonly root: string
}

export class Scratch {
  readonly folder: string
  /** Resolves when what a crash left was removed, as far as it could be. */
  readonly cleaned: Promise<unknown>
  #places = 0

  private constructor(folder: string, cleaned: Promise<unknown>) {
    this.folder = folder
    this.cleaned = cleaned
  }

  /** In `<data>/scratch`, or in the system's temporary folder. What was left there is removed. Rejects with SHOAL_DISK. */
  static async open(data: string | undefined): Promise<Scratch> {
    try {
      if (data === undefined)
        return new Scratch(await mkdtemp(join(tmpdir(), 'shoal-scratch-')), Promise.resolve())
      const all = join(data, 'scratch')
      await mkdir(all, { recursive: true })
      const before = await readdir(all)
      const folder = join(all, randomBytes(4).toString('hex'))
      await mkdir(folder)
      // Programs of a killed node may still be writing there for a moment: not a reason not to start.
      const cleaned = Promise.allSettled(before.map((name) => remove(join(all, name))))
      return new Scratch(folder, cleaned)
    } catch (error) {
      throw diskError('the folder for programs cannot be made', error)
    }
  }

  /** A fresh place with these files in it. Rejects with SHOAL_DISK. */
  async place(files: readonly ProgramFile[]): Promise<Place> {
    const root = join(this.folder, String(++this.#places))
    const place = { root, work: join(root, 'work'), temp: join(root, 'tmp') }
    try {
      await mkdir(place.work, { recursive: true })
      await mkdir(place.temp)
      for (const file of files) await put(place.work, file)
    } catch (error) {
      await this.leave(place)
      if (error instanceof ShoalError) throw error
      throw diskError('the files of a program cannot be put in place', error)
    }
    return place
  }

  /** Never rejects: what cannot be removed now is removed with the whole folder. */
  async leave({ root }: Pick<Place, 'root'>): Promise<void> {
    await remove(root).catch(() => {})
  }

  async close(): Promise<void> {
    await remove(this.folder).catch(() => {})
  }
}

async function put(work: string, { name, isExecutable, content }: ProgramFile): Promise<void> {
  if (!isInside(name)) throw new ShoalError('SHOAL_BAD_VALUE', `${name} is no name of a file in a folder`)
  const file = join(work, name)
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, content, { flag: 'wx', mode: isExecutable ? 0o755 : 0o644 })
}

/** A missing output. */
export class NoOutput extends Error {}

/** What a program made: each name a file, or a folder with all files in it. Rejects with NoOutput or SHOAL_DISK. */
export async function collect(work: string, names: readonly string[]): Promise<OutputFile[]> {
  const files: OutputFile[] = []
  for (const name of names) {
    if (!isInside(name)) throw new NoOutput(`the output ${name} is not in the folder of the program`)
    for await (const file of filesAt(work, name)) {
      files.push(file)
      if (files.length > outputFilesMax)
        throw new NoOutput(`there are more than ${outputFilesMax} output files; make an archive of them`)
    }
  }
  return files
}

async function* filesAt(work: string, name: string): AsyncGenerator<OutputFile> {
  const path = join(work, name)
  const found = await stat(path).catch(() => undefined)
  if (found === undefined) throw new NoOutput(`it did not make its output ${name}`)
  if (found.isDirectory()) {
    const names: string[] = []
    for await (const entry of await opendir(path))
      if (entry.isDirectory() || entry.isFile()) names.push(entry.name)
    for (const one of names.sort()) yield* filesAt(work, join(name, one))
    return
  }
  if (!found.isFile()) throw new NoOutput(`its output ${name} is no file`)
  const content = await readFile(path)
  yield { name, isExecutable: (found.mode & 0o111) !== 0, size: content.byteLength, content }
}

/** Also folders that the program made read-only. */
async function remove(path: string): Promise<void> {
  const options = { recursive: true, force: true, maxRetries: 3 } as const
  await rm(path, options).catch(async () => {
    await unlock(path)
    await rm(path, options)
  })
}

async function unlock(folder: string): Promise<void> {
  await chmod(folder, 0o700)
  for (const entry of await readdir(folder, { withFileTypes: true }))
    if (entry.isDirectory()) await unlock(join(folder, entry.name))
}

function diskError(what: string, error: unknown): ShoalError {
  return new ShoalError('SHOAL_DISK', `${what} (${explainError(error)})`, { cause: error })
}
