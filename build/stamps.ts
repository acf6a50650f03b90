/**
 * What the package was built of, so that anybody can see whether that has changed.
 *
 * Not here: who looks (bin/shoal.js, which any Node.js can read).
 * Size and time of last change, as build tools do: reading 300 files would take longer than running them. What third parties
 * wrote changes with the lock file only.
 */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from './package.ts'

/** By the names of files; one that may have changed while it was read has a stamp that none ever has. */
export async function stampsOf(
  inputs: readonly string[],
  startedAt: number,
  folder = root
): Promise<Readonly<Record<string, string>>> {
  const own = inputs.filter((name) => !/^(node_modules\/|node:)/.test(name))
  const stamps = own.map(async (name) => {
    const { size, mtimeMs } = await stat(join(folder, name))
    return [name, mtimeMs >= startedAt ? 'changing' : `${size} ${mtimeMs}`] as const
  })
  return Object.fromEntries(await Promise.all(stamps))
}
