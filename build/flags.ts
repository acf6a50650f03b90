/**
 * Reads the flags of a program of this repository: `--help` prints its usage, and what it does not know is refused with it.
 *
 * Not here: the command `shoal`, which also names what was probably meant (bin/arguments.ts).
 */
import { type ParseArgsConfig, parseArgs } from 'node:util'

/** As `parseArgs`. Ends the process with 0 after `--help`, and with 2 for what cannot be read. */
export function readFlags<C extends ParseArgsConfig>(
  usage: string,
  config: C
): ReturnType<typeof parseArgs<C>> {
  if (process.argv.slice(2).some((arg) => arg === '--help' || arg === '-h')) {
    console.log(usage)
    process.exit(0)
  }
  try {
    return parseArgs(config)
  } catch (error) {
    console.error(`${(error as Error).message}\n${usage}`)
    process.exit(2)
  }
}
