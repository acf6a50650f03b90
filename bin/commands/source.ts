/**
 * `shoal source`: reads a live stream that some node offers, until it ends or Ctrl-C.
 *
 * Not here: offering one (`shoal up --source`). Items are printed as they come; what is slow to print is slow to read.
 */
import { once } from 'node:events'
import { readArguments } from '../arguments.ts'
import type { Command } from '../command.ts'
import { EXIT, usageError } from '../failure.ts'
import { interruption } from '../interruption.ts'
import { meshFlags, meshUsage, reachMesh } from '../mesh.ts'
import { jsonOf, textOf } from '../output.ts'

export const source: Command = {
  usage: `usage: shoal source NAME [FLAGS]

Prints the items of a live stream, from now on, one line each: strings as they are, everything else as JSON. Any node of the mesh
will do to ask. Ends when the stream ends or its node goes, and by Ctrl-C.

${meshUsage}  --json             every item as JSON
`,
  async run(args) {
    const { values, operands } = readArguments('source', args, meshFlags)
    const [name, ...more] = operands
    if (name === undefined || more.length > 0)
      throw usageError('which stream? `shoal source NAME`; `shoal status` shows what nodes offer')
    const signal = interruption()
    const client = await reachMesh(values, signal)
    try {
      const stream = client.source(name.text, { signal })
      for await (const item of stream) {
        const line = values.json ? jsonOf(item) : textOf(item)
        if (process.stdout.write(`${line}\n`)) continue
        const isRead = await once(process.stdout, 'drain').then(
          () => true,
          () => false
        )
        // Whoever read this has left, as `head` does.
        if (!isRead) return EXIT.failed
      }
      if (stream.dropped > 0) process.stderr.write(`${stream.dropped} items were missed\n`)
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      await client.close()
    }
    return EXIT.done
  }
}
