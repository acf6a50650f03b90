/**
 * What a task demands of the node that runs it, as data: `{ labels, any, all, not, resources, source }` and targets.
 *
 * Not here: whether a node has it (match.ts). A requirement travels as JSON in the header of a job and is parsed once, at the
 * edge, within limits: what another machine sends is a rule to evaluate, and never code.
 */
import { ShoalError } from '../errors.ts'
import type { Type } from '../wire.ts'

/**
 * What a label must be: `true` present, `false` absent, a text or number equal to it, a list one of it, and otherwise all of
 * these: `not` fulfilled the other test, or the label a number that compares so.
 */
export type Test =
  | boolean
  | string
  | number
  | readonly (string | number)[]
  | {
      readonly not?: Test
      readonly '<'?: number
      readonly '<='?: number
      readonly '>'?: number
      readonly '>='?: number
    }

/** All that it says must hold. `any`: at least one of these; `all`: each; `not`: this must not. Empty lists that make it one that nothing meets are refused. */
export interface Rule {
  readonly labels?: Readonly<Record<string, Test>>
  readonly any?: readonly Rule[]
  readonly all?: readonly Rule[]
  readonly not?: Rule
}

/** What users write. Resources are whole numbers that a task holds while it runs; `source` is a stream that the node offers. */
export interface Requires extends Rule {
  readonly resources?: Readonly<Record<string, number>>
  readonly source?: string
}

export interface Requirement {
  /** As it travels; equal requirements have equal texts. Empty for none. */
  readonly text: string
  readonly rule: Rule
  readonly resources: readonly (readonly [name: string, amount: number])[]
  readonly source: string | undefined
  /** Nodes (`<id>`) or engines (`<id>/<slot>`), one of which must run it; empty for any. */
  readonly targets: readonly string[]
}

export const anywhere: Requirement = Object.freeze({
  text: '',
  rule: {},
  resources: [],
  source: undefined,
  targets: []
})

/** Characters of a requirement as JSON. */
export const requirementCharsMax = 16_384
/** Tests and rules in one requirement, and how deep they may be nested. */
export const testsMax = 128
export const depthMax = 8
/** Kinds of resources of one task or node, and how much there may be of one. */
export const resourcesMax = 32
export const amountMax = 1_000_000
export const targetsMax = 256
const nameMax = 128
const valuesMax = 64
const comparisons = ['<', '<=', '>', '>='] as const

/** Throws SHOAL_BAD_OPTION, and says what would be right; also for a rule that nothing can meet. */
export function requirementOf(requires: Requires, targets: readonly string[] = []): Requirement {
  const requirement = read(requires, targets)
  if (isVain(requirement.rule))
    refuse('`requires` can be met by no node: an empty `any`, or an empty list for a label, matches nothing')
  return requirement
}

/** Throws SHOAL_BAD_OPTION. What others wait for is theirs to know. */
function read(requires: Requires, targets: readonly string[] = []): Requirement {
  const { resources, source, ...rule } = plainObject(requires, '`requires`')
  if (!Array.isArray(targets) || targets.length > targetsMax)
    refuse(`\`targets\` is a list of at most ${targetsMax} ids of nodes or engines`)
  if (Object.keys(requires).length === 0 && targets.length === 0) return anywhere
  checkRule(rule as Rule, '`requires`', { left: testsMax }, depthMax)
  const amounts = Object.entries(plainObject(resources ?? {}, '`requires.resources`'))
  if (amounts.length > resourcesMax) refuse(`\`requires.resources\` has more than ${resourcesMax} kinds`)
  for (const [name, amount] of amounts) {
    checkName(name, '`requires.resources`')
    if (!Number.isInteger(amount) || (amount as number) < 1 || (amount as number) > amountMax)
      refuse(
        `\`requires.resources.${name}\` is ${shown(amount)}; it is a whole number from 1 to ${amountMax}`
      )
  }
  if (source !== undefined) checkName(source, '`requires.source`')
  for (const target of targets) checkName(target, '`targets`')
  const sorted = amounts.toSorted(([a], [b]) => (a < b ? -1 : 1)) as [string, number][]
  const said = {
    ...rule,
    ...(sorted.length === 0 ? {} : { resources: Object.fromEntries(sorted) }),
    ...(source === undefined ? {} : { source }),
    ...(targets.length === 0 ? {} : { targets })
  }
  const text = JSON.stringify(said)
  if (text === '{}') return anywhere
  if (text.length > requirementCharsMax)
    refuse(`\`requires\` and \`targets\` are longer than ${requirementCharsMax} characters of JSON`)
  return { text, rule: rule as Rule, resources: sorted, source: source as string | undefined, targets }
}

/** As it travels in the header of a job. */
export const requirement: Type<Requirement> = {
  check: (value, path) => {
    if (value === '') return anywhere
    try {
      if (typeof value !== 'string' || value.length > requirementCharsMax) throw new TypeError('no text')
      const { targets = [], ...requires } = plainObject(JSON.parse(value), path)
      return read(requires, targets as string[])
    } catch (cause) {
      throw new ShoalError('SHOAL_BAD_MESSAGE', `expected a requirement at ${path}`, { cause })
    }
  },
  plain: ({ text }) => text
}

/** The same, to be met on this engine and no other. */
export function on(engine: string, { text }: Requirement): Requirement {
  const { targets: _, ...requires } =
    text === '' ? { targets: [] } : plainObject(JSON.parse(text), '`requires`')
  return read(requires, [engine])
}

/** True if it needs more of a node that matches than any free slot: then the node alone knows when it may begin. */
export const isNarrow = ({ resources, targets }: Requirement): boolean =>
  resources.length > 0 || targets.some(isEngine)

/** The resources that it needs. */
export const namesOf = ({ resources }: Requirement): string[] => resources.map(([name]) => name)

export const isEngine = (target: string): boolean => target.includes('/')

interface Budget {
  left: number
}

function checkRule(rule: Rule, path: string, budget: Budget, depth: number): void {
  if (depth === 0) refuse(`${path} is nested deeper than ${depthMax}`)
  spend(budget, path)
  for (const [name, part] of Object.entries(plainObject(rule, path))) {
    if (part === undefined) continue
    if (name === 'labels') {
      for (const [label, test] of Object.entries(plainObject(part, `${path}.labels`))) {
        checkName(label, `${path}.labels`)
        checkTest(test as Test, `${path}.labels.${label}`, budget, depth - 1)
      }
    } else if (name === 'not') checkRule(part as Rule, `${path}.not`, budget, depth - 1)
    else if (name === 'any' || name === 'all') {
      if (!Array.isArray(part)) return refuse(`${path}.${name} is ${shown(part)}; it is a list of rules`)
      for (const one of part) checkRule(one as Rule, `${path}.${name}`, budget, depth - 1)
    } else
      refuse(
        `${path} has no \`${name}\`; there are labels, any, all, not, and outside of them resources and source`
      )
  }
}

function checkTest(test: Test, path: string, budget: Budget, depth: number): void {
  if (depth === 0) refuse(`${path} is nested deeper than ${depthMax}`)
  spend(budget, path)
  if (typeof test === 'boolean' || isValue(test)) return
  if (Array.isArray(test)) {
    if (test.length > valuesMax || !test.every(isValue))
      refuse(`${path} is a list of at most ${valuesMax} texts or numbers`)
    return
  }
  const parts = Object.entries(plainObject(test, path))
  if (parts.length === 0) refuse(`${path} says nothing; write \`true\` for a label that is there`)
  for (const [name, part] of parts) {
    if (name === 'not') checkTest(part as Test, `${path}.not`, budget, depth - 1)
    else if (!comparisons.some((one) => one === name) || !Number.isFinite(part))
      refuse(`${path} has \`${name}\`: ${shown(part)}; there are not, and <, <=, >, >= with a number`)
  }
}

/** Whatever a node says of itself, it does not meet this: lists that are empty are seen, not contradictions. */
function isVain({ labels = {}, any, all = [], not }: Rule): boolean {
  if (Object.values(labels).some(isVainTest) || all.some(isVain)) return true
  return any?.every(isVain) === true || (not !== undefined && isMet(not))
}

/** Whatever a node says of itself, it meets this. */
function isMet({ labels = {}, any, all = [], not }: Rule): boolean {
  if (!Object.values(labels).every(isMetTest) || !all.every(isMet)) return false
  return any?.some(isMet) !== false && (not === undefined || isVain(not))
}

const isVainTest = (test: Test): boolean =>
  Array.isArray(test) ? test.length === 0 : isNegation(test) && isMetTest(test.not)
const isMetTest = (test: Test): boolean =>
  isNegation(test) && Object.keys(test).length === 1 && isVainTest(test.not)
const isNegation = (test: Test): test is { readonly not: Test } => Object(test).not !== undefined
const isValue = (value: unknown): value is string | number =>
  Number.isFinite(value) || (typeof value === 'string' && value.length <= nameMax)

function spend(budget: Budget, path: string): void {
  if (budget.left-- === 0) refuse(`${path} has more than ${testsMax} rules and tests`)
}

function checkName(name: unknown, path: string): void {
  if (typeof name !== 'string' || name === '' || name.length > nameMax)
    refuse(`${path} has the name ${shown(name)}; names are 1 to ${nameMax} characters`)
}

function plainObject(value: unknown, path: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>
  return refuse(`${path} is ${shown(value)}; it is an object`)
}

function shown(value: unknown): string {
  if (typeof value === 'number') return String(value)
  try {
    return (JSON.stringify(value) ?? String(value)).slice(0, 60)
  } catch {
    // A BigInt, or what contains itself.
    return typeof value === 'object' ? 'no JSON' : String(value)
  }
}

function refuse(message: string): never {
  throw new ShoalError('SHOAL_BAD_OPTION', message)
}
