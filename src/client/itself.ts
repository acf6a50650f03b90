/**
 * Whether a function that speaks of its own name means itself, as in `const fact = (n) => n * fact(n - 1)`.
 *
 * Not here: which names it speaks of (captures.ts). A name that it got from a property, as in `{ factor: (n) => n * factor }`, may be that of
 * another variable, and the text does not tell: so V8 is asked what the variable holds, as debuggers ask it.
 */
import { Session } from 'node:inspector'

interface Remote {
  readonly objectId?: string
  readonly value?: unknown
}
interface Property {
  readonly name: string
  readonly value?: Remote
}
interface Answer {
  readonly result: unknown
  readonly internalProperties?: readonly Property[]
}

const key = Symbol.for('shoal.itself')

/** False also where V8 cannot be asked. Some milliseconds. */
export function isItself(fn: object, name: string): boolean {
  const session = new Session()
  const world = globalThis as unknown as Record<symbol, object | undefined>
  try {
    session.connect()
    world[key] = fn
    return isHeldAs(session, name)
  } catch {
    return false
  } finally {
    delete world[key]
    session.disconnect()
  }
}

function isHeldAs(session: Session, name: string): boolean {
  const fn = ask(session, 'Runtime.evaluate', { expression: `globalThis[Symbol.for('${key.description}')]` })
    .result as Remote
  const scopes = inside(session, fn).internalProperties?.find((one) => one.name === '[[Scopes]]')?.value
  // From the innermost on.
  for (const { value: scope = {} } of (scopes && propertiesOf(session, scopes)) ?? []) {
    const held = propertiesOf(session, scope).find((one) => one.name === name)?.value
    if (held !== undefined) return isSame(session, fn, held)
  }
  return false
}

function isSame(session: Session, { objectId }: Remote, other: Remote): boolean {
  if (other.objectId === undefined) return false
  const functionDeclaration = 'function (other) { return this === other }'
  const asked = { objectId, functionDeclaration, arguments: [{ objectId: other.objectId }] }
  return (ask(session, 'Runtime.callFunctionOn', asked).result as Remote).value === true
}

const inside = (session: Session, { objectId }: Remote): Answer =>
  ask(session, 'Runtime.getProperties', { objectId, ownProperties: true })

const propertiesOf = (session: Session, of: Remote): readonly Property[] =>
  of.objectId === undefined ? [] : (inside(session, of).result as readonly Property[])

/** It answers before it returns. */
function ask(session: Session, method: string, params: object): Answer {
  let answer: object | undefined
  session.post(method, params, (error, given) => {
    if (error === null) answer = given
  })
  if (answer === undefined) throw new Error(`${method} was not answered`)
  return answer as Answer
}
