/**
 * `shoal up`: a node in the foreground, until it is told to stop.
 *
 * Not here: the node (src/node/node.ts). Its address goes to stdout, for people or programs; what it notices, to stderr.
 */
import { leftover } from '../../src/node/leftovers.ts'
import { createNode, type Node } from '../../src/node/node.ts'
import type { Isolation } from '../../src/tasks/executor/pool-options.ts'
import {
  amounts,
  decimal,
  given,
  milliseconds,
  pairs,
  readArguments,
  refuseOperands,
  wholeNumber
} from '../arguments.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../failure.ts'
import { interruption, untilAborted } from '../interruption.ts'
import { linesOf } from '../lines.ts'
import { findKey, keyFile } from '../mesh.ts'
import { plain } from '../output.ts'

const flags = {
  key: { type: 'string' },
  data: { type: 'string' },
  slots: { type: 'string' },
  label: { type: 'string', multiple: true },
  resource: { type: 'string', multiple: true },
  source: { type: 'string', multiple: true },
  zone: { type: 'string' },
  isolation: { type: 'string' },
  'memory-limit': { type: 'string' },
  nice: { type: 'string' },
  when: { type: 'string' },
  hours: { type: 'string' },
  'idle-after': { type: 'string' },
  'idle-load': { type: 'string' },
  'hand-back-after': { type: 'string' },
  listen: { type: 'string', multiple: true },
  peer: { type: 'string', multiple: true },
  mdns: { type: 'boolean', default: true },
  'allow-run': { type: 'boolean', default: false },
  'drain-timeout': { type: 'string' },
  json: { type: 'boolean', default: false }
} as const

export const up: Command = {
  usage: `usage: shoal up [FLAGS]

Runs a node until Ctrl-C or SIGTERM. It then hands its work and what it keeps over to others, or if none is there waits for
what runs; a second one ends it at once.

  --key FILE         the mesh key (default: $SHOAL_KEY, then ./${keyFile})
  --data FOLDER      keeps work and results there, so that they survive a restart (default: in memory)
  --slots N          tasks at a time, 0 to 256; 0 only coordinates (default: the cores of this machine)
  --label K=V        what others may know of this machine, repeatable
  --resource K=N     countable things that tasks may hold, like gpu=2, repeatable
  --isolation KIND   thread, or process: a task that crashes costs its engine, and never this node (default: thread)
  --memory-limit MB  heap of one engine; with --isolation process it may use 128 MB more in all, and if this is set one program
                     as much as this (Linux, looked at twice a second); a task that needs more fails (default: an even part
                     of this machine, 4096 at most; programs: any)
  --nice N           engines and programs give way to others, as with nice: 0 to 19 (default 0)
  --source N=COMMAND offers what a command prints, each line an item, as the live stream N, repeatable; the command is
                     held up while nobody reads, and ended with the node
  --when idle        runs tasks only while nobody uses this machine; programs stop at once when somebody comes, and with
                     --isolation process so does all that runs
  --hours A-B        runs tasks only at these hours, like 19:00-07:00
  --idle-after S     seconds without a key, a mouse or a line at a terminal after which nobody uses it (default 900)
  --idle-load N      processors that other programs may keep busy then (default 0.3)
  --hand-back-after S  seconds that work stands still until others get it (default 600)
  --zone NAME        copies of one piece of work go to different zones
  --listen ADDRESS   like /ip4/0.0.0.0/tcp/4101, repeatable (default: any free port, all interfaces)
  --peer ADDRESS     a node to begin with, repeatable (default: $SHOAL_PEERS)
  --no-mdns          do not look for others in the local network
  --allow-run        run programs for others (\`shoal run\`), as the user who starts this node
  --drain-timeout S  seconds that handing over may take at the end, also by \`shoal drain\`; tasks that run may finish in the
                     first half (default 30)
  --json             the first line on stdout is {"id","addresses"} once the node listens
`,
  async run(args) {
    const { values, operands } = readArguments('up', args, flags)
    refuseOperands('up', operands)
    const { data, zone, listen, mdns } = values
    const slots = wholeNumber('--slots', values.slots)
    const drainTimeout = milliseconds('--drain-timeout', values['drain-timeout'])
    const heapMb = wholeNumber('--memory-limit', values['memory-limit'])
    const nice = wholeNumber('--nice', values.nice)
    const when = values.when as 'always' | 'idle' | undefined
    const idle = given({
      after: milliseconds('--idle-after', values['idle-after']),
      load: decimal('--idle-load', values['idle-load']),
      handBackAfter: milliseconds('--hand-back-after', values['hand-back-after'])
    })
    const isolation = values.isolation as Isolation | undefined
    const labels = pairs('--label', values.label)
    const resources = amounts('--resource', values.resource)
    const sources = pairs('--source', values.source)
    const peers = values.peer ?? (process.env.SHOAL_PEERS ?? '').split(/[\s,]+/).filter(Boolean)
    const key = await findKey(values.key)
    const signal = interruption({ isBounded: false })
    const onNote = (text: string): void => void process.stderr.write(`${plain(text)}\n`)
    const opening = createNode({
      key,
      mdns,
      peers,
      onNote,
      allowRun: values['allow-run'],
      ...given({
        data,
        slots,
        heapMb,
        nice,
        isolation,
        when,
        hours: values.hours,
        idle,
        labels,
        resources,
        zone,
        listen,
        drainTimeout
      })
    })
    const node = await Promise.race([opening, untilAborted(signal)])
    // Nobody was told of this node yet, so that there is nothing to bring to an end.
    if (node === undefined) return EXIT.done
    for (const [name, command] of Object.entries(sources ?? {})) {
      const { ended } = node.source(name, linesOf(command))
      void ended.then(() => onNote(`the source ${name} has ended`))
    }
    // A node goes on without who reads where it is.
    process.stdout.on('error', ({ message }) => onNote(`stdout cannot be written (${message})`))
    process.stdout.write(values.json ? `${JSON.stringify(introduction(node))}\n` : welcome(node, data))
    await Promise.race([untilAborted(signal), node.stopped])
    if (!signal.aborted) return EXIT.done
    if (!values.json) process.stderr.write(await farewell(node))
    const left = await node.drain()
    if (left.tasks + left.shards + left.stalled > 0) onNote(leftover(left, data))
    return EXIT.done
  }
}

const introduction = ({ id, addresses }: Node): object => ({ id, addresses })

async function farewell({ client }: Node): Promise<string> {
  const isAlone = await client.members().then(
    ({ length }) => length === 1,
    () => false
  )
  const what = isAlone ? 'no other node is there, so only what runs is waited for' : 'handing over to others'
  return `${what}; once more stops at once\n`
}

function welcome({ id, addresses }: Node, data: string | undefined): string {
  const where = data === undefined ? 'in memory; --data FOLDER would let it survive a restart' : `in ${data}`
  return `node ${id} is up and keeps its work ${where}
${addresses.map((address) => `  ${address}\n`).join('')}Others join with a copy of the key and \`shoal up --peer ADDRESS\`; Ctrl-C stops this node.
`
}
