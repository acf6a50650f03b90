/**
 * The version of this package, as nodes tell each other and `shoal --version` says.
 *
 * Not here: deciding by it; messages are parsed by their shape.
 */
import { readFileSync } from 'node:fs'

// The same distance from the package's root in the sources and, one folder deeper, in what is built of them.
const root = import.meta.url.endsWith('.ts') ? '../package.json' : '../../package.json'

export const VERSION: string = JSON.parse(readFileSync(new URL(root, import.meta.url), 'utf8')).version
