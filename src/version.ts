/**
 * The version of this package, as nodes tell each other and `shoal --version` says, and the Node.js that it needs.
 *
 * Not here: deciding by it; messages are parsed by their shape. The command has looked before (bin/shoal.js).
 */
import { readFileSync } from 'node:fs'
import { ShoalError } from './errors.ts'

// Both this source and what is built of it lie one folder below it.
const about = new URL('../package.json', import.meta.url)
const nodeLeast = [22, 18] as const

export const VERSION: string = JSON.parse(readFileSync(about, 'utf8')).version

/** Throws SHOAL_OLD_NODE. An older one would fail in the middle of something, with an error that names something else. */
export function checkRuntime(version: string = process.versions.node): void {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major > nodeLeast[0] || (major === nodeLeast[0] && minor >= nodeLeast[1])) return
  throw new ShoalError(
    'SHOAL_OLD_NODE',
    `shoal needs Node.js ${nodeLeast.join('.')} or newer, this is ${version}; install it from https://nodejs.org`
  )
}
