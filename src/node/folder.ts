/**
 * Makes a folder, with those above it that are missing.
 *
 * Not here: what lies in it. Node's `mkdir` with `recursive` goes round for ever where the system says of a folder that cannot be
 * made that it is not there, as /proc does; so the folders are made one by one.
 */
import { mkdir, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

/** Rejects as the file system does; a folder that is there already, or made by somebody else meanwhile, is no error. */
export async function makeFolder(path: string): Promise<void> {
  const missing: string[] = []
  for (let at = resolve(path); !(await isThere(at)); at = dirname(at)) missing.push(at)
  for (const folder of missing.reverse()) {
    await mkdir(folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
  }
  if (!(await stat(path)).isDirectory()) throw new Error(`${path} is there, and no folder`)
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return false
    throw error
  }
}
