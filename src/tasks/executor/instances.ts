/**
 * Says once of every class as what its instances arrive: as plain data, or as what it extends.
 *
 * Not here: the format, which knows no classes (codec.ts).
 * V8 drops prototypes without a word, and the first one to notice would be a task that calls a method. Values that were
 * encoded are looked through, not far: what is found late or never costs nothing but the warning.
 */
import { types } from 'node:util'

/** Parts of one value that are looked at. */
const looksMax = 200
/** Classes that are warned of; then a program knows. */
const warningsMax = 20

const beyond = ', without fields and methods of its class'
/** What V8 sends in a form of its own, whatever class it is of. */
const forms: readonly (readonly [is: (value: unknown) => boolean, form: string])[] = [
  [Array.isArray, 'an Array, without methods of its class'],
  [types.isMap, `a Map${beyond}`],
  [types.isSet, `a Set${beyond}`],
  [types.isDate, `a Date${beyond}`],
  [types.isRegExp, `a RegExp${beyond}`],
  [types.isNativeError, `an Error${beyond}`],
  [types.isArrayBuffer, `an ArrayBuffer${beyond}`],
  [types.isBoxedPrimitive, `a boxed primitive${beyond}`]
]

/** Constructors that were looked at. */
const known = new WeakSet<object>()
let warnings = 0

export function noteInstances(value: unknown, path: string): void {
  if (warnings >= warningsMax) return
  try {
    look(value, path)
  } catch {
    // A getter threw, on its second call.
  }
}

function look(value: unknown, path: string): void {
  const parts: unknown[] = [value]
  for (let at = 0; at < Math.min(parts.length, looksMax); at++) {
    const part = parts[at]
    // Those of typed arrays are Node's own or their subclasses, which arrive as typed arrays.
    if (typeof part !== 'object' || part === null || ArrayBuffer.isView(part)) continue
    const { constructor: made } = part
    if (typeof made === 'function' && !known.has(made)) note(made, part, path)
    addParts(parts, part)
  }
}

function addParts(parts: unknown[], whole: object): void {
  const isIterable = Array.isArray(whole) || whole instanceof Set
  if (isIterable) {
    for (const part of whole) if (parts.push(part) > looksMax) return
  } else if (whole instanceof Map) {
    for (const [key, part] of whole) if (parts.push(key, part) > looksMax) return
  } else if (types.isNativeError(whole)) {
    parts.push(whole.cause)
  } else {
    for (const key in whole) {
      if (!Object.hasOwn(whole, key)) return
      if (parts.push((whole as Record<string, unknown>)[key]) > looksMax) return
    }
  }
}

function note(made: object, instance: object, path: string): void {
  known.add(made)
  // The language's own, also those of another realm.
  if (/\{\s*\[native code\]\s*\}\s*$/.test(Function.prototype.toString.call(made))) return
  warnings++
  const name = (made as { name?: unknown }).name || 'a class without a name'
  const plain = Object.keys(instance).length === 0 ? 'an empty object' : 'plain data, without methods'
  const form = forms.find(([is]) => is(instance))?.[1] ?? plain
  const advice = 'pass plain objects, or make the instance where it is used'
  process.emitWarning(`${path} holds an instance of ${name}, which arrives as ${form}; ${advice}`, {
    type: 'ShoalWarning',
    code: 'SHOAL_PLAIN_DATA'
  })
}
