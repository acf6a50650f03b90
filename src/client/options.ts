/**
 * Options of tasks and jobs, checked before anything is submitted.
 *
 * Not here: what they cause. Every wrong one is SHOAL_BAD_OPTION and says what would be right.
 */
import { isTarget } from '../ids.ts'
import { type Requirement, requirementOf } from '../routing/requirement.ts'
import { checkSignal, isRecord, onlyKnown, refuse, shown, truth, whole } from './checks.ts'
import type { Copies } from './shards.ts'
import { keyLengthMax } from './share.ts'
import type { MapOptions, TaskOptions } from './types.ts'
import { type Asked, askedBy } from './waits.ts'

export interface Settings {
  readonly name: string | undefined
  readonly key: string | undefined
  readonly retries: number
  /** 0 = unlimited. */
  readonly timeoutMs: number
  /** 0 = unlimited. */
  readonly queueTimeoutMs: number
  readonly priority: number
  /** 0 = as the nodes do by themselves. */
  readonly retentionMs: number
  readonly atMostOnce: boolean
  readonly scope: Record<string, unknown> | undefined
  readonly copies: Copies
  readonly requires: Requirement
  readonly waits: readonly Asked[]
  readonly signal: AbortSignal | undefined
}

export interface MapSettings extends Settings {
  readonly returnErrors: boolean
  readonly inFlightMax: number | undefined
}

const retriesMax = 1_000
const timeoutMax = 0xffffffff
const keepersMax = 15
const nameMax = 128
const ofTasks = [
  'name',
  'key',
  'retries',
  'timeout',
  'queueTimeout',
  'priority',
  'scope',
  'keepers',
  'retention',
  'atMostOnce',
  'requires',
  'targets',
  'after',
  'follow',
  'signal'
]
const ofMaps = [...ofTasks, 'returnErrors', 'inFlightMax']

export function checkTaskOptions(options: TaskOptions): Settings {
  onlyKnown(options, ofTasks)
  return settingsOf(options)
}

/** Of a job that was made before. */
export function checkJobOptions(options: {
  readonly returnErrors?: boolean
  readonly signal?: AbortSignal
}): Pick<MapSettings, 'returnErrors' | 'signal'> {
  onlyKnown(options, ['returnErrors', 'signal'])
  const { returnErrors = false, signal } = options
  truth('returnErrors', returnErrors)
  checkSignal(signal)
  return { returnErrors, signal }
}

/** `more`: what else there may be. */
export function checkMapOptions(options: MapOptions, more: readonly string[] = []): MapSettings {
  onlyKnown(options, [...ofMaps, ...more])
  const { returnErrors = false, inFlightMax } = options
  truth('returnErrors', returnErrors)
  if (inFlightMax !== undefined) whole('inFlightMax', inFlightMax, 1, Number.MAX_SAFE_INTEGER)
  return { ...settingsOf(options), returnErrors, inFlightMax }
}

function settingsOf(options: TaskOptions): Settings {
  const { name, key, retries = 0, priority = 0, scope, keepers = {}, atMostOnce = false, signal } = options
  if (name !== undefined && (typeof name !== 'string' || name.length > nameMax))
    refuse(`\`name\` is a string of at most ${nameMax} characters`)
  if (key !== undefined && (typeof key !== 'string' || key.length < 1 || key.length > keyLengthMax))
    refuse(`\`key\` is a string of 1 to ${keyLengthMax} characters`)
  whole('retries', retries, 0, retriesMax)
  truth('atMostOnce', atMostOnce)
  if (atMostOnce && retries > 0)
    refuse('`atMostOnce` and `retries` contradict each other; a task that may run once is not tried again')
  if (!Number.isFinite(priority))
    refuse(`\`priority\` is ${shown(priority)}; it is a number, higher runs earlier`)
  if (scope !== undefined && !isRecord(scope))
    refuse(`\`scope\` is ${shown(scope)}; it is an object, of values by the names that the function uses`)
  checkSignal(signal)
  const { count, min, ...odd } = typeof keepers === 'number' ? { count: keepers } : copies(keepers)
  if (Object.keys(odd).length > 0) refuse(`\`keepers\` has ${Object.keys(odd)[0]}; there are count and min`)
  if (count !== undefined) whole('keepers', count, 1, keepersMax)
  if (min !== undefined) whole('keepers.min', min, 1, count ?? keepersMax)
  return {
    name,
    key,
    retries,
    timeoutMs: millis('timeout', options.timeout),
    queueTimeoutMs: millis('queueTimeout', options.queueTimeout),
    priority,
    retentionMs: millis('retention', options.retention),
    atMostOnce,
    scope: scope === undefined ? undefined : { ...scope },
    copies: { wanted: count ?? 0, least: min ?? 0 },
    requires: required(options),
    waits: [...askedBy('after', options.after), ...askedBy('follow', options.follow)],
    signal
  }
}

function required({ requires = {}, targets }: TaskOptions): Requirement {
  const requirement = requirementOf(requires, targets)
  // Who waits for a node that can never come would not hear of it.
  const odd = requirement.targets.find((target) => !isTarget(target))
  if (odd !== undefined)
    refuse(
      `\`targets\` has ${shown(odd)}, which is no id of a node or an engine; they are whole, as members() and engines() give them`
    )
  return requirement
}

/** 0 if it is not given. */
function millis(name: string, value: number | undefined): number {
  if (value === undefined) return 0
  if (typeof value !== 'number' || !(value > 0 && value <= timeoutMax))
    refuse(`\`${name}\` is ${shown(value)}; it is milliseconds, above 0 and at most ${timeoutMax}`)
  return Math.ceil(value)
}

function copies(keepers: unknown): { readonly count?: number; readonly min?: number } {
  return isRecord(keepers)
    ? keepers
    : refuse(`\`keepers\` is ${shown(keepers)}; it is a number of copies, or { count, min }`)
}
