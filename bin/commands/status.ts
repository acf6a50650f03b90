/**
 * `shoal status`: the nodes of the mesh, what they do, and what waits.
 *
 * Not here: asking them (src/node/inquiry.ts). A node that does not answer in time is counted and not waited for.
 */
import type { NodeStatus, StatusReport } from '../../src/client/answers.ts'
import { readArguments, refuseOperands } from '../arguments.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../failure.ts'
import { askMesh, meshFlags, meshUsage } from '../mesh.ts'
import { counted, plain, shortIds, table } from '../output.ts'

export const status: Command = {
  usage: `usage: shoal status [FLAGS]

Shows the nodes that are up. owns: pieces of work that a node leads; keeps: copies that it holds;
labels: also resources (gpu:2) and live streams (~name).

${meshUsage}  --json             the whole report as JSON
`,
  async run(args) {
    const { values, operands } = readArguments('status', args, meshFlags)
    refuseOperands('status', operands)
    const report = await askMesh(values, (client) => client.status())
    process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : statusText(report))
    return EXIT.done
  }
}

const columns = ['id', 'address', 'slots', 'running', 'queued', 'owns', 'keeps', 'disk', 'labels']

export function statusText({ nodes, silent }: StatusReport): string {
  const short = shortIds(nodes.map(({ id }) => id))
  const sorted = nodes.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const rows = sorted.map((node) => {
    const { id, running, queued, owns, keeps, disk } = node
    return [short.get(id), addressOf(node), slotsOf(node), running, queued, owns, keeps, disk, labelsOf(node)]
  })
  const sum = (of: (node: NodeStatus) => number): number => nodes.reduce((all, node) => all + of(node), 0)
  const waiting = sum((node) => node.waiting)
  const unfinished = sum((node) => node.unfinished)
  const dependent = sum((node) => node.dependent ?? 0)
  const others = dependent === 0 ? '' : `, ${dependent} for other tasks`
  const lines = [
    `${counted(waiting, 'task waits', 'tasks wait')} to be run${others}, ${unfinished} without a result in all`
  ]
  const stalled = sum((node) => node.stalled ?? 0)
  if (stalled > 0) lines.push(stalledText(stalled))
  for (const { id, disk } of sorted)
    if (disk !== 'sound')
      lines.push(
        `node ${short.get(id)} keeps nothing until it is restarted on a disk in order: ${plain(disk)}`
      )
  if (silent > 0) lines.push(`${counted(silent, 'node')} did not answer`)
  return `${table(columns, rows)}\n${lines.join('\n')}\n`
}

/** Of so many shards. */
export const stalledText = (shards: number): string =>
  `open work of ${counted(shards, 'shard')} stands still: too few of its keepers are up; it goes on when one of them is back`

/** With what keeps them from being used. */
function slotsOf({ slots, availability, unavailable }: NodeStatus): string | number {
  const reasons = [availability === 'open' ? [] : availability, unavailable?.replace('-', ' ') ?? []].flat()
  return reasons.length === 0 ? slots : `${slots} (${reasons.join(': ')})`
}

/** One that other machines can reach, if there is any; the peer id at its end is known by the first column. */
function addressOf({ addresses }: NodeStatus): string {
  const short = addresses.map((address) => address.replace(/\/p2p\/[^/]*$/, ''))
  const best = short.find((address) => !/^\/ip(4\/127\.|6\/::1\/)/.test(address)) ?? short[0] ?? ''
  return short.length > 1 ? `${best} +${short.length - 1}` : best
}

function labelsOf({ zone, labels, resources, sources }: NodeStatus): string {
  const named = Object.entries(labels).map(([name, value]) => `${name}=${value}`)
  const countable = Object.entries(resources).map(([name, amount]) => `${name}:${amount}`)
  const offered = sources.map((name) => `~${name}`)
  return [...(zone === '' ? [] : [`zone=${zone}`]), ...named, ...countable, ...offered].join(' ')
}
