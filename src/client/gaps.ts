/**
 * Values on their way to another thread or machine: what cannot be copied leaves a gap, and what stands for it travels beside.
 *
 * Not here: what that is (sync/, views/reference.ts).
 * Beside and not inside, so that nothing a user writes can be taken for it. What has no gaps is not copied here.
 */

/** `special` travels for what belongs at the end of the path. */
export interface Gap<S> {
  readonly path: readonly (string | number)[]
  readonly special: S
}

export interface PackedValue<S> {
  readonly value: unknown
  readonly gaps: readonly Gap<S>[]
}

export interface Search<S> {
  /** What travels for a value, if it cannot itself. */
  readonly specialOf: (value: unknown) => S | undefined
  /** Arrays and plain objects within each other that are looked into. */
  readonly depthMax: number
  /** Parts of one item of a list that are looked at; what is beyond is copied as it is. */
  readonly partsMax: number
}

export function packValue<S>(value: unknown, search: Search<S>): PackedValue<S> {
  const gaps: Gap<S>[] = []
  const budget = { left: search.partsMax }
  return { value: emptied(value, [], { ...search, gaps, budget }), gaps }
}

/** In place: what was copied belongs to nobody else. */
export function unpackValue<S>({ value, gaps }: PackedValue<S>, restored: (special: S) => unknown): unknown {
  let whole = value
  for (const { path, special } of gaps) {
    const last = path.at(-1)
    if (last === undefined) {
      whole = restored(special)
      continue
    }
    let at = whole as Record<string | number, unknown>
    for (const step of path.slice(0, -1)) at = at[step] as Record<string | number, unknown>
    at[last] = restored(special)
  }
  return whole
}

interface Found<S> extends Search<S> {
  readonly gaps: Gap<S>[]
  readonly budget: { left: number }
}

function emptied<S>(value: unknown, path: (string | number)[], search: Found<S>): unknown {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return value
  const special = search.specialOf(value)
  if (special !== undefined) {
    search.gaps.push({ path, special })
    return undefined
  }
  if (path.length >= search.depthMax) return value
  if (Array.isArray(value)) return emptiedList(value, path, search)
  if (!isPlain(value)) return value
  let copy: Record<string, unknown> | undefined
  for (const [key, part] of Object.entries(value)) {
    if (typeof part !== 'object' && typeof part !== 'function') continue
    if (search.budget.left-- <= 0) break
    const other = emptied(part, [...path, key], search)
    if (other === part) continue
    copy ??= { ...value }
    copy[key] = other
  }
  return copy ?? value
}

function emptiedList<S>(
  list: readonly unknown[],
  path: (string | number)[],
  search: Found<S>
): readonly unknown[] {
  let copy: unknown[] | undefined
  for (let at = 0; at < list.length; at++) {
    const part = list[at]
    if (typeof part !== 'object' && typeof part !== 'function') continue
    // A list of inputs is as long as it likes; each has what an argument has.
    if (path.length <= 1) search.budget.left = search.partsMax
    if (search.budget.left-- <= 0) break
    const other = emptied(part, [...path, at], search)
    if (other === part) continue
    copy ??= [...list]
    copy[at] = other
  }
  return copy ?? list
}

const isPlain = (value: object): value is Record<string, unknown> => {
  const kind = Object.getPrototypeOf(value) as unknown
  return kind === Object.prototype || kind === null
}
