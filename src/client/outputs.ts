/**
 * Files that programs made, put into a folder of this machine.
 *
 * Not here: how they became results (tasks/executor/scratch.ts), how data comes (data.ts).
 * A file appears under its name only when it is complete, so that nobody takes a half for the whole.
 */
import { randomBytes } from 'node:crypto'
import { chmod, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { explainError, ShoalError } from '../errors.ts'
import { makeFolder } from '../node/folder.ts'
import type { OutputFile } from '../tasks/executor/program.ts'
import { isInside } from '../tasks/executor/template.ts'
import type { Client } from './types.ts'

/**
 * Writes them down under their names, over what is there. Resolves with the names, in order. Rejects with SHOAL_DISK, with
 * SHOAL_NOT_FOUND if no node has one of them, and with SHOAL_BAD_VALUE for a name that leads out of the folder.
 */
export async function saveFiles(
  mesh: Pick<Client, 'save'>,
  files: readonly OutputFile[],
  folder: string
): Promise<string[]> {
  for (const file of files) await saveFile(mesh, file, folder)
  return files.map(({ name }) => name)
}

async function saveFile(
  mesh: Pick<Client, 'save'>,
  { name, isExecutable, content }: OutputFile,
  folder: string
): Promise<void> {
  if (!isInside(name)) throw new ShoalError('SHOAL_BAD_VALUE', `${name} is no name of a file in a folder`)
  const path = join(folder, name)
  const part = `${path}.${randomBytes(4).toString('hex')}.part`
  try {
    await makeFolder(dirname(path))
    if (!(content instanceof Uint8Array)) await mesh.save(content, part)
    else await writeFile(part, content, { flag: 'wx', mode: 0o666 })
    if (isExecutable) await chmod(part, 0o777 & ~process.umask())
    await rename(part, path)
  } catch (error) {
    await rm(part, { force: true }).catch(() => {})
    if (error instanceof ShoalError) throw error
    throw new ShoalError('SHOAL_DISK', `${path} cannot be written (${explainError(error)})`, { cause: error })
  }
}
