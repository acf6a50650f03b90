/**
 * One temporary folder for everything that a benchmark writes.
 *
 * Not here: what lies in it.
 * It goes when this process ends, in whatever way short of being killed.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

let made: string | undefined

export function scratch(): string {
  if (made !== undefined) return made
  const folder = mkdtempSync(join(tmpdir(), 'shoal-bench-'))
  made = folder
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  return folder
}
