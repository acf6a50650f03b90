/**
 * Files that programs made, put into a folder of this machine.
 *
 * Not here: how they came (tasks/executor/scratch.ts made them results).
 * A file appears under its name only when it is complete, so that nobody takes a half for the whole.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { explainError, ShoalError } from '../errors.ts'
import type { OutputFile } from '../tasks/executor/program.ts'
import { isInside } from '../tasks/executor/template.ts'

/** Rejects with SHOAL_DISK, and SHOAL_BAD_VALUE for names that lead out of the folder. Resolves with the names, in order. */
export async function saveFiles(files: readonly OutputFile[], folder: string): Promise<string[]> {
  for (const file of files) await saveFile(file, folder)
  return files.map(({ name }) => name)
}

async function saveFile({ name, isExecutable, content }: OutputFile, folder: string): Promise<void> {
  if (!isInside(name)) throw new ShoalError('SHOAL_BAD_VALUE', `${name} is no name of a file in a folder`)
  const path = join(folder, name)
  const part = `${path}.${randomBytes(4).toString('hex')}.part`
  try {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(part, content, { flag: 'wx', mode: isExecutable ? 0o777 : 0o666 })
    await rename(part, path)
  } catch (error) {
    await rm(part, { force: true }).catch(() => {})
    throw new ShoalError('SHOAL_DISK', `${path} cannot be written (${explainError(error)})`, { cause: error })
  }
}
