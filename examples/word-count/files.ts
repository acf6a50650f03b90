/**
 * The input of the demo: every Markdown and TypeScript declaration file that `npm ci` brought along.
 *
 * Not here: reading them. Thousands of files that nobody of this project wrote, in an order that is the same everywhere.
 */
import { globSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('../../node_modules/', import.meta.url))

/** Absolute paths, sorted. */
export function inputFiles(): string[] {
  const found = globSync('**/*.{md,d.ts,d.mts,d.cts}', { cwd: folder, withFileTypes: true })
  const files = found.filter((entry) => entry.isFile()).map((entry) => `${entry.parentPath}/${entry.name}`)
  return [...new Set(files)].sort()
}
