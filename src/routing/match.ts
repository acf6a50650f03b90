/**
 * Does this task fit that node, and if not, what is missing? A pure function of a requirement and what a node says of itself.
 *
 * Not here: how requirements are written and parsed (requirement.ts), and what is free at the moment (tasks/fitting.ts).
 * Owners, nodes and `explain` all ask here, so that nobody can be told another reason than the one that decided.
 */
import type { PeerId } from '../ids.ts'
import { isEngine, type Requirement, type Rule, type Test } from './requirement.ts'

/** What a node says of itself that rules can speak of. */
export interface Traits {
  readonly peer: PeerId
  readonly slots: number
  readonly labels: readonly (readonly string[])[]
  readonly resources: readonly Amount[]
  readonly sources: readonly string[]
}

export interface Amount {
  readonly name: string
  readonly amount: number
}

/** One thing that a node lacks: in words that people and programs can read. */
export interface Lack {
  readonly blockedBy: 'engine' | 'target' | 'label' | 'any' | 'not' | 'resource' | 'source'
  readonly name: string
  readonly wants: string
  readonly has: string
}

/** True if the node could ever run it. */
export function matches(requirement: Requirement, node: Traits): boolean {
  return requirement.text === '' ? node.slots > 0 : lacks(requirement, node).length === 0
}

/** What the node lacks; nothing if it could run it. */
export function lacks({ rule, resources, source, targets }: Requirement, node: Traits): Lack[] {
  const found: Lack[] = []
  const lack = (blockedBy: Lack['blockedBy'], name: string, wants: unknown, has: unknown): void => {
    found.push({ blockedBy, name, wants: shown(wants), has: shown(has) })
  }
  if (node.slots === 0) lack('engine', 'slots', 1, 0)
  if (targets.length > 0 && slotsFor(targets, node)?.length === 0) lack('target', 'id', targets, node.peer)
  for (const [name, amount] of resources) {
    const has = amountOf(node, name)
    if (has < amount) lack('resource', name, amount, has)
  }
  if (source !== undefined && !node.sources.includes(source)) lack('source', source, source, node.sources)
  return [...found, ...unmet(rule, node)]
}

export const amountOf = ({ resources }: Pick<Traits, 'resources'>, name: string): number =>
  resources.find((one) => one.name === name)?.amount ?? 0

/** Slots of the node that the targets name; `undefined` for any. */
export function slotsFor(
  targets: readonly string[],
  { peer, slots }: Pick<Traits, 'peer' | 'slots'>
): readonly number[] | undefined {
  if (targets.length === 0 || targets.includes(peer)) return undefined
  const own = `${peer}/`
  const named = targets.filter((target) => target.startsWith(own)).map((one) => one.slice(own.length))
  return named.filter((slot) => /^(0|[1-9]\d{0,2})$/.test(slot) && Number(slot) < slots).map(Number)
}

/** True if no other node could run it. */
export const isOnlyAt = ({ targets }: Requirement, peer: PeerId): boolean =>
  targets.length > 0 &&
  targets.every((target) => target === peer || (isEngine(target) && target.startsWith(`${peer}/`)))

function unmet(rule: Rule, node: Traits): Lack[] {
  const found: Lack[] = []
  for (const [name, test] of Object.entries(rule.labels ?? {})) {
    const has = node.labels.find(([label]) => label === name)?.[1]
    if (!passes(test, has)) found.push({ blockedBy: 'label', name, wants: shown(test), has: has ?? '' })
  }
  for (const one of rule.all ?? []) found.push(...unmet(one, node))
  const { any, not } = rule
  if (any !== undefined && !any.some((one) => unmet(one, node).length === 0))
    found.push({ blockedBy: 'any', name: '', wants: shown(any), has: '' })
  if (not !== undefined && unmet(not, node).length === 0)
    found.push({ blockedBy: 'not', name: '', wants: shown({ not }), has: '' })
  return found
}

function passes(test: Test, has: string | undefined): boolean {
  if (typeof test === 'boolean') return test === (has !== undefined)
  if (typeof test === 'string' || typeof test === 'number') return isEqual(test, has)
  if (isList(test)) return test.some((one) => isEqual(one, has))
  if (test.not !== undefined && passes(test.not, has)) return false
  const { '<': below, '<=': most, '>': above, '>=': least } = test
  if (below === undefined && most === undefined && above === undefined && least === undefined) return true
  const number = numberOf(has)
  if (number === undefined) return false
  const { POSITIVE_INFINITY: top, NEGATIVE_INFINITY: bottom } = Number
  return (
    number < (below ?? top) &&
    number <= (most ?? top) &&
    number > (above ?? bottom) &&
    number >= (least ?? bottom)
  )
}

const isEqual = (wants: string | number, has: string | undefined): boolean =>
  typeof wants === 'number' ? numberOf(has) === wants : has === wants

/** Labels are texts; one that is no number compares with none. */
function numberOf(has: string | undefined): number | undefined {
  const number = has === undefined || has.trim() === '' ? Number.NaN : Number(has)
  return Number.isFinite(number) ? number : undefined
}

const isList = (test: Test): test is readonly (string | number)[] => Array.isArray(test)
const shown = (value: unknown): string =>
  typeof value === 'string' || typeof value === 'number' ? String(value) : JSON.stringify(value)
