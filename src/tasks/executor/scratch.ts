/**
 * Folders in which programs run: one for each attempt, filled with its files, emptied of its outputs, and removed.
 *
 * Not here: the programs (programs.ts, tree.ts).
 * Everything lies in one folder of this boot, so that whatever a crash leaves is removed as a whole: by the warden at once, or
 * at the next start.
 */
import { randomBytes } from 'node:crypto'
import { chmod, constants, copyFile, link, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Ref } from '../../data/ref.ts'
import { explainError, ShoalError } from '../../errors.ts'
import { dataName } from '../../ids.ts'
import { Made, NoOutput } from './made.ts'
import { fileInlineMax, type OutputFile, outputFilesMax, type ProgramFile } from './program.ts'
import { isInside } from './template.ts'

/** Shared files from this size on are linked and not copied. */
const linkFromBytes = 1 << 20

/** Where one attempt runs. */
export interface Place {
  /** Its current folder. */
  readonly work: string
  /** For `TMPDIR`. */
  readonly temp: string
  /** What is written here is the node's. */
  readonly root: string
}

/** What a scratch folder has to do with the data of its node. */
export interface DataStore {
  /** Files by their ids, which are there as long as the run that names them. */
  readonly dataFolder: string
  /** Takes a copy, and resolves when enough nodes have it. */
  readonly keepFile: (path: string) => Promise<Ref>
}

export class Scratch {
  readonly folder: string
  /** Resolves when what a crash left was removed, as far as it could be. */
  readonly cleaned: Promise<unknown>
  readonly #store: DataStore
  #places = 0

  private constructor(folder: string, cleaned: Promise<unknown>, store: DataStore) {
    this.folder = folder
    this.cleaned = cleaned
    this.#store = store
  }

  /** In `<home>/scratch`. What was left there is removed. Rejects with SHOAL_DISK. */
  static async open(home: string, store: DataStore): Promise<Scratch> {
    try {
      const all = join(home, 'scratch')
      await mkdir(all, { recursive: true })
      const before = await readdir(all)
      const folder = join(all, randomBytes(4).toString('hex'))
      await mkdir(folder)
      // Programs of a killed node may still be writing there for a moment: not a reason not to start.
      const cleaned = Promise.allSettled(before.map((name) => remove(join(all, name))))
      return new Scratch(folder, cleaned, store)
    } catch (error) {
      throw diskError('the folder for programs cannot be made', error)
    }
  }

  /** Where data lies that inputs name. */
  get dataFolder(): string {
    return this.#store.dataFolder
  }

  /**
   * A fresh place with these files in it. Those of the task are its own, to do with as it likes (copies, which cost nothing
   * where the file system shares blocks); large ones that are shared are links, not to be written to. Rejects with SHOAL_DISK.
   */
  async place(own: readonly ProgramFile[], shared: readonly ProgramFile[]): Promise<Place> {
    const root = join(this.folder, String(++this.#places))
    const place = { root, work: join(root, 'work'), temp: join(root, 'tmp') }
    try {
      await mkdir(place.work, { recursive: true })
      await mkdir(place.temp)
      for (const file of own) await this.#put(place.work, file, false)
      for (const file of shared) await this.#put(place.work, file, true)
    } catch (error) {
      await this.leave(place)
      if (error instanceof ShoalError) throw error
      throw diskError('the files of a program cannot be put in place', error)
    }
    return place
  }

  async #put(
    work: string,
    { name, isExecutable, content, data }: ProgramFile,
    isShared: boolean
  ): Promise<void> {
    if (!isInside(name)) throw new ShoalError('SHOAL_BAD_VALUE', `${name} is no name of a file in a folder`)
    const file = join(work, name)
    await mkdir(dirname(file), { recursive: true })
    const mode = isExecutable ? 0o755 : 0o644
    if (data === '') return await writeFile(file, content, { flag: 'wx', mode })
    const source = join(this.#store.dataFolder, data)
    if (isShared && !isExecutable && dataName(data).size >= linkFromBytes) {
      // The node notices if it was written to all the same, and fetches it again.
      await chmod(source, 0o444)
      if (await link(source, file).then(isTrue, isFalse)) return
    }
    await copyFile(source, file, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
    await chmod(file, mode)
  }

  /**
   * What a program made: each name a file, or a folder with all files in it. `notes`: what of a folder was left out. Rejects with
   * NoOutput, SHOAL_DISK, or as `keepFile` does.
   */
  async collect(
    work: string,
    names: readonly string[]
  ): Promise<{ readonly files: readonly OutputFile[]; readonly notes: string }> {
    const files: OutputFile[] = []
    const made = await Made.in(work)
    for (const name of names)
      for await (const { path, ...file } of made.at(name)) {
        const content = file.size > fileInlineMax ? await this.#store.keepFile(path) : await readFile(path)
        files.push({ ...file, content })
        if (files.length > outputFilesMax)
          throw new NoOutput(`there are more than ${outputFilesMax} output files; make an archive of them`)
      }
    return { files, notes: made.notes }
  }

  /** Never rejects: what cannot be removed now is removed with the whole folder. */
  async leave({ root }: Pick<Place, 'root'>): Promise<void> {
    await remove(root).catch(() => {})
  }

  async close(): Promise<void> {
    await remove(this.folder).catch(() => {})
  }
}

const isTrue = (): boolean => true
const isFalse = (): boolean => false

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
