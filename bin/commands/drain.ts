/**
 * `shoal drain`: lets a node hand over its work and its shards, and stop.
 *
 * Not here: handing over (src/node/node.ts). The node may be anywhere in the mesh; whoever holds the key may ask.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from '../../src/client/types.ts'
import { given, milliseconds, readArguments } from '../arguments.ts'
import type { Command } from '../command.ts'
import { EXIT, usageError } from '../failure.ts'
import { askMesh, type MeshValues, meshFlags, meshUsage, reachMesh } from '../mesh.ts'
import { wholeTarget } from '../nodes.ts'
import { stalledText } from './status.ts'

const lookEveryMs = 200
const waitMs = 60_000

export const drain: Command = {
  usage: `usage: shoal drain [NODE] [FLAGS]

Asks the node with this id (or its end, as \`shoal status\` shows it) to leave, or without NODE the one at the given --peer, else the newest of this
machine: what waits there goes to other nodes, what runs may finish for a
while, others keep its shards, and then it stops. It stays for a while for open work that too few other nodes keep to go on
without it. No task fails because of it, unless it is the last node of its mesh: what
it could give to nobody it says in its own output. Waits until it is gone.

  --within SECONDS   how long to wait (default 60); the node goes on leaving after that
${meshUsage}  --json             {"node","gone","last","stalled"}; last: no other node was there to take over; stalled: shards of open work
                     that stands still in the mesh, as too few of its keepers are up
`,
  async run(args) {
    const { values, operands } = readArguments('drain', args, { ...meshFlags, within: { type: 'string' } })
    const [named, ...more] = operands
    const isOne = named === undefined ? (values.peer ?? []).length < 2 : more.length === 0
    if (!isOne) throw usageError('which node? `shoal drain NODE`, see `shoal status`')
    // Nobody means a node that was merely found somewhere in the network.
    const where = named === undefined ? { ...values, peer: values.peer ?? [], mdns: false } : values
    const { within = waitMs } = given({ within: milliseconds('--within', values.within) })
    const { node, isGone, isAlone, stalled } = await askMesh(where, async (client) => {
      const before = await client.members()
      const ids = before.map(({ id }) => id)
      const node = named === undefined ? (await client.status()).entry : wholeTarget(named.text, ids)
      await client.drain(node)
      const isAlone = before.every(({ id }) => id === node)
      const addresses = before.flatMap((one) => one.addresses)
      const until = performance.now() + within
      while (performance.now() < until) {
        // Of the last node nobody else can tell.
        const isThere = isAlone
          ? await answers({ ...where, peer: addresses, mdns: false })
          : (await client.members()).some(({ id }) => id === node)
        if (!isThere) return { node, isGone: true, isAlone, stalled: isAlone ? 0 : await stalledAt(client) }
        await sleep(lookEveryMs)
      }
      return { node, isGone: false, isAlone, stalled: 0 }
    })
    const text = isGone ? `node ${node} has left` : `node ${node} is still leaving`
    const rest =
      isAlone && isGone
        ? '; no other node took over: its own output says what was lost with it, if anything'
        : ''
    const told = JSON.stringify({ node, gone: isGone, last: isAlone, stalled })
    const standing = stalled > 0 ? `; ${stalledText(stalled)}` : ''
    process.stdout.write(values.json ? `${told}\n` : `${text}${rest}${standing}\n`)
    return isGone ? EXIT.done : EXIT.failed
  }
}

/** Shards of work that stands still, now that the node is gone. */
const stalledAt = async (client: Client): Promise<number> =>
  (await client.status()).nodes.reduce((sum, { stalled = 0 }) => sum + stalled, 0)

async function answers(values: MeshValues): Promise<boolean> {
  try {
    await (await reachMesh({ ...values, timeout: '1' })).close()
    return true
  } catch {
    return false
  }
}
