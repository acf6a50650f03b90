/**
 * `shoal drain`: lets a node hand over its work and its shards, and stop.
 *
 * Not here: handing over (src/node/node.ts). The node may be anywhere in the mesh; whoever holds the key may ask.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { given, milliseconds, readArguments } from '../arguments.ts'
import type { Command } from '../command.ts'
import { EXIT, usageError } from '../failure.ts'
import { askMesh, meshFlags, meshUsage } from '../mesh.ts'

const lookEveryMs = 200
const waitMs = 60_000

export const drain: Command = {
  usage: `usage: shoal drain NODE [FLAGS]

Asks the node with this id (see \`shoal status\`) to leave: what waits there goes to other nodes, what runs may finish for a
while, others keep its shards, and then it stops. No task fails because of it. Waits until it is gone.

  --within SECONDS   how long to wait (default 60); the node goes on leaving after that
${meshUsage}  --json             {"node","gone"}
`,
  async run(args) {
    const { values, operands } = readArguments('drain', args, { ...meshFlags, within: { type: 'string' } })
    const [node, ...more] = operands
    if (node === undefined || more.length > 0)
      throw usageError('which node? `shoal drain NODE`, see `shoal status`')
    const { within = waitMs } = given({ within: milliseconds('--within', values.within) })
    const isGone = await askMesh(values, async (client) => {
      await client.drain(node.text)
      const until = performance.now() + within
      while (performance.now() < until) {
        if ((await client.members()).every(({ id }) => id !== node.text)) return true
        await sleep(lookEveryMs)
      }
      return false
    })
    const text = isGone ? `node ${node.text} has left` : `node ${node.text} is still leaving`
    process.stdout.write(values.json ? `${JSON.stringify({ node: node.text, gone: isGone })}\n` : `${text}\n`)
    return isGone ? EXIT.done : EXIT.failed
  }
}
