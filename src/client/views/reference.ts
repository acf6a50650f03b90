/**
 * Arguments that stand for values which engines have by name.
 *
 * Not here: what the engine does with them (namespace.ts).
 */
import { refuse, shown } from '../checks.ts'
import { type PackedValue, packValue, type Search } from '../gaps.ts'

/** A name on engines. */
export function checkName(name: unknown): void {
  if (typeof name !== 'string' || name === '') refuse(`a name on engines is a text; this is ${shown(name)}`)
}

/** Stands for a value that has this name on the engine: as an argument, or within lists and plain objects, 32 deep at most. */
export class Reference {
  readonly name: string

  constructor(name: string) {
    checkName(name)
    this.name = name
  }
}

const search: Search<string> = {
  specialOf: (value) => (value instanceof Reference ? value.name : undefined),
  depthMax: 32,
  partsMax: Number.POSITIVE_INFINITY
}

/** The arguments, with gaps in the place of references. */
export const located = (args: readonly unknown[]): PackedValue<string> => packValue(args, search)
