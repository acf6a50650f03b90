/**
 * The version of this package, as nodes tell each other and `shoal --version` says.
 *
 * Not here: deciding by it; messages are parsed by their shape.
 */
import { readFileSync } from 'node:fs'

// Both this source and what is built of it lie one folder below it.
const about = new URL('../package.json', import.meta.url)

export const VERSION: string = JSON.parse(readFileSync(about, 'utf8')).version
