/**
 * Options of a node, checked before anything is opened.
 *
 * Not here: what they cause (node.ts). Every wrong one is SHOAL_BAD_OPTION and says what would be right.
 */
import { availableParallelism, totalmem } from 'node:os'
import { resolve, sep } from 'node:path'
import { getHeapStatistics } from 'node:v8'
import { checkTimeout, isRecord, onlyKnown, refuse } from '../client/checks.ts'
import type { Millis } from '../machine.ts'
import { amountMax, resourcesMax } from '../routing/requirement.ts'
import { slotsMax } from '../tasks/executor/pool.ts'
import type { Isolation } from '../tasks/executor/pool-options.ts'
import { programsLabel } from '../tasks/executor/program.ts'
import { MeshKey } from './key.ts'
import { defaultIdleness, type Hours, type Idleness, parseHours } from './presence.ts'
import type { Probe } from './probe.ts'
import { defaultQuota, keeperReplaceAfterMs, type Quota } from './settings.ts'

export type Role = 'engine' | 'keeper'

export interface NodeOptions {
  /** By `createKey()` or `readKey()`. */
  readonly key: MeshKey
  /** Folder for everything that must survive a restart, made if missing. Default: everything in memory. */
  readonly data?: string
  /** Tasks at a time, 0 to 256; 0 = coordinates only. Default: the cores of this machine. */
  readonly slots?: number
  /**
   * Megabytes of heap of one engine; a task that needs more ends its engine. Default: 4,096, or an even part of the machine's memory.
   * Of an engine that is a process, all memory may be 128 more (Linux, looked at twice a second).
   * If given, also what one program may use with all that it started (Linux, looked at twice a second); it fails with TASK_EXIT.
   */
  readonly heapMb?: number
  /**
   * What an engine is. `thread` (default): starts fast and shares the memory of the node, so a crash in native code ends the node.
   * `process`: whatever a task does, it costs its engine only; 40 MiB more per slot, and some microseconds per task. Not on Windows.
   */
  readonly isolation?: Isolation
  /** How much engines and programs give way to other programs of this machine: 0 to 19, as for `nice`. Default 0. Threads: Linux only. */
  readonly nice?: number
  /**
   * `idle`: this node runs tasks only while nobody uses the machine (see `idle`). When somebody comes back, engines that are
   * processes stand still at once, with all that they started; threads finish what runs. After a while what runs is given back,
   * as nobody's failure. What the node keeps for others, it keeps. Linux, or with a `probe`. Default `always`.
   */
  readonly when?: 'always' | 'idle'
  /** Hours at which this node runs tasks, like `19:00-07:00`, in local time. Default: all. */
  readonly hours?: string
  /** When nobody uses the machine, and how long that is waited for. */
  readonly idle?: Partial<Idleness>
  /** Sees whether somebody uses the machine. Default: input devices, terminals and processor time, as Linux tells them. */
  readonly probe?: Probe
  /** `engine` runs tasks, `keeper` keeps work and results. Default both. */
  readonly roles?: readonly Role[]
  /** What others may know of this machine. At most 63, of 128 characters each. */
  readonly labels?: Readonly<Record<string, string>>
  /** Countable things of this machine, like `{ gpu: 2 }`: tasks that require some hold it while they run. At most 32 kinds. */
  readonly resources?: Readonly<Record<string, number>>
  /** Keepers of one shard prefer different zones. */
  readonly zone?: string
  /** Multiaddrs; port 0 takes a free one. Default: any free port, all interfaces. */
  readonly listen?: readonly string[]
  /** Multiaddrs of nodes to begin with. Default: none. */
  readonly peers?: readonly string[]
  /** Finds other nodes in the local network. Default true. */
  readonly mdns?: boolean
  /** Milliseconds after which another node takes the place of a keeper that is down. Default 30,000; at least 1,000. */
  readonly replaceAfter?: number
  /** Milliseconds that handing over may take at most, also if somebody drains this node from elsewhere. Default 30,000. */
  readonly drainTimeout?: number
  /** What this node keeps at most; beyond it, work goes to others. Default 1 GiB of inputs and outcomes, 1,000,000 shards (fewer if the heap may have less than 4 GiB), 16 GiB of data. */
  readonly quota?: Partial<Quota>
  /**
   * Runs programs (`mesh.run()`, `shoal run`), as the user of this process and with its environment, but for variables whose
   * names begin with SHOAL_. Default false. Not on Windows.
   */
  readonly allowRun?: boolean
  /**
   * Runs the node in a thread of its own: an app that computes for seconds is neither taken for dead nor loses its place as a keeper.
   * The interface is the same. Notes, items of sources and a `probe` go through this thread, when it has time; a `probe` that
   * is silent for 5 s sees nothing, which counts as somebody using the machine. If that thread ends by itself, `stopped` resolves,
   * and what waits rejects with SHOAL_HOST_LOST. Default false.
   */
  readonly hosted?: boolean
  /** Told what a person might want to read, one line at a time. Default: nobody. */
  readonly onNote?: (text: string) => void
}

export interface DrainOptions {
  /** Milliseconds that handing over may take at most. Default: the node's `drainTimeout`. */
  readonly timeout?: number
}

export type CheckedOptions = Required<Omit<NodeOptions, 'data' | 'quota' | 'hours' | 'idle' | 'probe'>> & {
  readonly data: string | undefined
  readonly quota: Quota
  readonly hours: Hours | undefined
  /** Megabytes that one program may use: `heapMb`, if that was given. */
  readonly programMb: number | undefined
  readonly idle: Idleness
  readonly probe: Probe | undefined
}

const drainMs = 30_000
const textMax = 128
/** Of the heap; a shard that is kept takes a kilobyte and a half of it, and there must be room for all else. */
const heapBytesPerShard = 4_096
const labelsMax = 64
const replaceAfterMin = 1_000
const heapMbMin = 32
const heapMbDefault = 4_096
const niceMax = 19
const lookEveryMin = 20
/** Of Node's timers; a longer one would end at once. */
const lookEveryMax = 2 ** 31 - 1
const known = [
  'key',
  'data',
  'slots',
  'roles',
  'labels',
  'resources',
  'zone',
  'listen',
  'peers',
  'mdns',
  'replaceAfter',
  'drainTimeout',
  'quota',
  'heapMb',
  'isolation',
  'nice',
  'when',
  'hours',
  'idle',
  'probe',
  'allowRun',
  'hosted',
  'onNote'
]

/** Throws SHOAL_BAD_OPTION. */
export function checkOptions(options: NodeOptions): CheckedOptions {
  if (!isRecord(options)) refuse('createNode() takes options, as in createNode({ key: createKey() })')
  const {
    data,
    slots = availableParallelism(),
    roles = ['engine', 'keeper'],
    labels = {},
    resources = {},
    zone = '',
    replaceAfter = keeperReplaceAfterMs,
    drainTimeout = drainMs,
    heapMb = heapFor(options.slots ?? availableParallelism()),
    isolation = 'thread',
    nice = 0,
    when = 'always',
    probe
  } = options
  const { allowRun = false, hosted = false } = options
  const { listen = ['/ip4/0.0.0.0/tcp/0'], peers = [], mdns = true, onNote = () => {} } = options
  const hours = options.hours === undefined ? undefined : parseHours(options.hours)
  const idle = { ...defaultIdleness, ...options.idle }
  const quota = { ...defaultQuota, shards: shardsMost(), ...options.quota }
  const odd = Object.keys(options).find((name) => !known.includes(name))
  if (odd !== undefined) refuse(`there is no option \`${odd}\`; there are ${known.join(', ')}`)
  if (!(options.key instanceof MeshKey))
    refuse('`key` must come from createKey() or readKey(); make a key file with `shoal init`')
  if (!Number.isInteger(slots) || slots < 0 || slots > slotsMax)
    refuse(`\`slots\` is ${String(slots)}; it is a whole number from 0 to ${slotsMax}`)
  if (!Array.isArray(roles)) refuse('`roles` is a list of engine and keeper')
  for (const role of roles) {
    if (role !== 'engine' && role !== 'keeper') refuse(`\`roles\` has ${role}; there are engine and keeper`)
  }
  if (!Number.isInteger(heapMb) || heapMb < heapMbMin)
    refuse(`\`heapMb\` is ${String(heapMb)}; it is a whole number of megabytes from ${heapMbMin}`)
  if (isolation !== 'thread' && isolation !== 'process')
    refuse(`\`isolation\` is ${String(isolation)}; it is thread or process`)
  if (isolation === 'process' && process.platform === 'win32')
    refuse('`isolation: process` needs Linux or macOS; leave it out, and engines are threads')
  for (const [name, value] of Object.entries({ hosted, mdns, allowRun })) {
    if (typeof value !== 'boolean') refuse(`\`${name}\` is ${String(value)}; it is true or false`)
  }
  if (data !== undefined && (typeof data !== 'string' || data === ''))
    refuse(`\`data\` is ${JSON.stringify(data)}; it is a folder, and without it everything is in memory`)
  for (const [name, value] of Object.entries({ listen, peers })) {
    if (!Array.isArray(value) || !value.every((one) => typeof one === 'string'))
      refuse(`\`${name}\` is a list of addresses, as in ['/ip4/192.0.2.1/tcp/4400']`)
  }
  for (const [name, value] of Object.entries({ labels, resources })) {
    if (!isRecord(value))
      refuse(`\`${name}\` is ${JSON.stringify(value)}; it is an object, values by their names`)
  }
  if (typeof onNote !== 'function') refuse('`onNote` is a function that is told one line at a time')
  if (when !== 'always' && when !== 'idle') refuse(`\`when\` is ${String(when)}; it is always or idle`)
  checkIdleness(options.idle)
  if (probe !== undefined && !isProbe(probe))
    refuse('`probe` is an object with the functions `idleMs`, `load` and `close`')
  if (!Number.isInteger(nice) || nice < 0 || nice > niceMax)
    refuse(`\`nice\` is ${String(nice)}; it is a whole number from 0 to ${niceMax}`)
  if (!Number.isFinite(replaceAfter) || replaceAfter < replaceAfterMin)
    refuse(
      `\`replaceAfter\` is ${String(replaceAfter)}; it is a number of milliseconds from ${replaceAfterMin}`
    )
  if (typeof drainTimeout !== 'number' || !(drainTimeout >= 0))
    refuse(`\`drainTimeout\` is ${String(drainTimeout)}; it is a number of milliseconds from 0`)
  for (const [name, most] of Object.entries(quota)) {
    if (!(name in defaultQuota) || !(most > 0))
      refuse(`\`quota.${name}\` is ${String(most)}; there are bytes, shards and data, numbers above 0`)
  }
  if (Object.keys(labels).length >= labelsMax) refuse(`more than ${labelsMax - 1} labels`)
  if (Object.keys(resources).length > resourcesMax) refuse(`more than ${resourcesMax} kinds of resources`)
  for (const [name, amount] of Object.entries(resources)) {
    if (name === '' || name.length > textMax || !Number.isInteger(amount) || amount < 0 || amount > amountMax)
      refuse(
        `\`resources.${name}\` is ${String(amount)}; names have up to ${textMax} characters, and there are 0 to ${amountMax} of each`
      )
  }
  if (allowRun && process.platform === 'win32')
    refuse('`allowRun` needs process groups, which Windows does not have; functions run there')
  if (programsLabel in labels)
    refuse(`the label \`${programsLabel}\` says that a node runs programs; set \`allowRun\` for that`)
  for (const text of [zone, ...Object.entries(labels).flat()]) {
    if (typeof text !== 'string' || text.length > textMax)
      refuse(`zones and labels are strings of at most ${textMax} characters`)
  }
  if ('' in labels) refuse('a label has a name of at least one character')
  return {
    key: options.key,
    data: data === undefined ? undefined : wholePath(data),
    slots,
    roles,
    labels,
    resources,
    zone,
    listen,
    peers,
    mdns,
    replaceAfter,
    drainTimeout,
    quota,
    heapMb,
    programMb: options.heapMb,
    isolation,
    nice,
    when,
    hours,
    idle,
    probe,
    allowRun,
    hosted,
    onNote
  }
}

/** A node goes on where it began, also when the folder that it was started in is gone. */
function wholePath(data: string): string {
  try {
    return resolve(data)
  } catch {
    return refuse(`\`data\` is ${data}, in a folder that is gone; give a path that begins with ${sep}`)
  }
}

function checkIdleness(idle: unknown = {}): void {
  if (!isRecord(idle)) refuse(`\`idle\` is ${JSON.stringify(idle)}; it is an object, numbers by their names`)
  for (const [name, number] of Object.entries(idle)) {
    const isTime = name !== 'lookEvery' || (Number(number) >= lookEveryMin && Number(number) <= lookEveryMax)
    if (!(name in defaultIdleness) || typeof number !== 'number' || !(number >= 0) || !isTime)
      refuse(
        `\`idle.${name}\` is ${String(number)}; there are ${Object.keys(defaultIdleness).join(', ')}, numbers from 0, and looks are ${lookEveryMin} to ${lookEveryMax} ms apart`
      )
  }
}

/** As many as the heap of this process has room for. */
const shardsMost = (): number =>
  Math.min(defaultQuota.shards, Math.floor(getHeapStatistics().heap_size_limit / heapBytesPerShard))

const isProbe = (probe: unknown): probe is Probe =>
  isRecord(probe) &&
  ['idleMs', 'load', 'close'].every((name) => typeof (probe as Record<string, unknown>)[name] === 'function')

/** How a node is drained: the milliseconds that it may take, `usual` unless told otherwise. Throws SHOAL_BAD_OPTION. */
export function checkDrain(usual: Millis, options: DrainOptions = {}): number {
  onlyKnown(options, ['timeout'])
  checkTimeout(options.timeout)
  return options.timeout ?? usual
}

/** So that engines which are all full still fit into the machine. */
function heapFor(slots: number): number {
  const share = Math.floor(totalmem() / 2 ** 20 / (Math.max(0, slots) + 1))
  return Math.max(heapMbMin, Math.min(heapMbDefault, share || heapMbMin))
}
