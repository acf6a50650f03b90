/**
 * `shoal init`: makes the key of a new mesh.
 *
 * Not here: what a key is (src/node/key.ts). An old key is never replaced: it may be all that opens a mesh.
 */
import { createKey, writeKey } from '../../src/node/key.ts'
import { readArguments } from '../arguments.ts'
import type { Command } from '../command.ts'
import { EXIT, usageError } from '../failure.ts'
import { keyFile } from '../mesh.ts'

export const init: Command = {
  usage: `usage: shoal init [FILE]

Writes a new mesh key to FILE (default ${keyFile}), which only you may read. Never replaces a file.
Whoever has a copy of the key belongs to the mesh and can run code on its nodes: copy it as you would a password.
`,
  async run(args) {
    const { operands } = readArguments('init', args, {})
    const [{ text: file } = { text: keyFile }, ...more] = operands
    if (more.length > 0) throw usageError('`shoal init` makes one key; give one file')
    if (file === '') throw usageError(`the name of the key is ""; give one, like ${keyFile}, or leave it out`)
    await writeKey(file, createKey())
    const flag = file === keyFile ? '' : ` --key ${file}`
    process.stdout.write(`${file} is the key of a new mesh. Whoever has a copy belongs to it, so copy it with care.
Next: start a node here with \`shoal up${flag}\`, and on other machines with a copy of the key.
`)
    return EXIT.done
  }
}
