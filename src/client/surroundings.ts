/**
 * What a bundle expects to find beside itself: files named relative to a module, which stay behind when the code travels.
 *
 * Not here: what is said about them (bundle.ts), names that a function captures (captures.ts).
 * Nobody can tell where a path leads in general, but people write it in a few ways: a place that is known from
 * `import.meta.url` or `__dirname`, kept in a constant perhaps, and a literal joined to it. These are followed; the rest is let go.
 */
import { isBuiltin } from 'node:module'
import type { AnyNode, CallExpression, NewExpression } from 'acorn'
import { parse } from 'acorn'

/** A use of something beside the module. */
export interface Reach {
  /** From 1. */
  readonly line: number
  /** From 0. */
  readonly column: number
  /** Relative to the module's folder; `undefined` if it is known only when the code runs. */
  readonly path: string | undefined
  /** A file, or a module by `createRequire()`. */
  readonly what: 'file' | 'module'
}

/** A place that is known relative to the module. */
type Place =
  /** The module itself. */
  | { kind: 'self' }
  /** `path` is '' for the module's folder. */
  | { kind: 'beside'; path: string | undefined }
  /** What `createRequire(import.meta.url)` gives. */
  | { kind: 'require' }

const folder: Place = { kind: 'beside', path: '' }
/** Functions that give back the same place in other words. */
const rewordings = new Set(['fileURLToPath', 'pathToFileURL', 'String', 'normalize', 'realpathSync', 'URL'])
/** Places go in, and places come out: who reads the folder itself is somebody else. */
const pathFunctions = new Set([...rewordings, 'dirname', 'join', 'resolve', 'relative', 'createRequire'])

/** Reads an ES module. Throws what acorn throws. O(text). */
export function reachesOf(code: string): Reach[] {
  const program = parse(code, { ecmaVersion: 'latest', sourceType: 'module', locations: true })
  const finder = new Finder()
  finder.learn(program)
  finder.find(program)
  return finder.reaches
}

class Finder {
  readonly reaches: Reach[] = []
  readonly #places = new Map<string, Place>()
  readonly #declared = new Map<string, number>()

  /** Notes variables that hold a place. A name that is declared twice may mean something else, and is let go. */
  learn(node: AnyNode): void {
    if (node.type === 'VariableDeclarator' && node.id.type === 'Identifier') {
      this.#count(node.id.name)
      if (node.init) this.#keep(node.id.name, node.init)
    } else if (node.type === 'AssignmentExpression' && node.left.type === 'Identifier') {
      this.#keep(node.left.name, node.right)
    } else if ('params' in node) {
      for (const param of node.params) if (param.type === 'Identifier') this.#count(param.name)
    }
    for (const child of childrenOf(node)) this.learn(child)
  }

  find(node: AnyNode): void {
    const place = this.#placeOf(node)
    if (place?.kind === 'beside' && place.path !== '') return this.#reach(node, place.path, 'file')
    if (node.type === 'CallExpression' || node.type === 'NewExpression') {
      if (this.#isRequire(node)) {
        const wanted = literal(node.arguments[0])
        if (wanted !== undefined && !isBuiltin(wanted)) return this.#reach(node, wanted, 'module')
      }
      // Whoever is given the folder will look into it.
      const isGiven = node.arguments.some((argument) => this.#isFolder(argument))
      if (isGiven && !pathFunctions.has(calleeOf(node))) return this.#reach(node, undefined, 'file')
    }
    for (const child of childrenOf(node)) this.find(child)
  }

  #reach({ loc }: AnyNode, path: string | undefined, what: Reach['what']): void {
    if (loc) this.reaches.push({ line: loc.start.line, column: loc.start.column, path, what })
  }

  #count(name: string): void {
    this.#declared.set(name, (this.#declared.get(name) ?? 0) + 1)
  }

  #keep(name: string, value: AnyNode): void {
    const place = this.#placeOf(value)
    if (place) this.#places.set(name, place)
  }

  #isFolder(node: AnyNode): boolean {
    const place = this.#placeOf(node)
    return place?.kind === 'beside' && place.path === ''
  }

  #isRequire({ callee }: CallExpression | NewExpression): boolean {
    const isResolve = callee.type === 'MemberExpression' && nameOf(callee) === 'resolve'
    return this.#placeOf(isResolve ? callee.object : callee)?.kind === 'require'
  }

  #placeOf(node: AnyNode | null | undefined): Place | undefined {
    switch (node?.type) {
      case 'Identifier':
        return this.#named(node.name)
      case 'MemberExpression': {
        const name = nameOf(node)
        if (node.object.type === 'MetaProperty') return ofMeta(name)
        return name === 'pathname' || name === 'href' ? this.#placeOf(node.object) : undefined
      }
      case 'CallExpression':
      case 'NewExpression':
        return this.#called(node)
      case 'BinaryExpression':
        if (node.operator !== '+' || node.left.type === 'PrivateIdentifier') return undefined
        return joined(this.#placeOf(node.left), [literal(node.right)])
      case 'TemplateLiteral': {
        const [first, ...rest] = node.quasis.map(({ value }) => value.cooked ?? undefined)
        if (first !== '') return undefined
        return joined(this.#placeOf(node.expressions[0]), rest.length === 1 ? rest : [undefined])
      }
      case 'LogicalExpression':
        return this.#placeOf(node.left) ?? this.#placeOf(node.right)
      case 'ConditionalExpression':
        return this.#placeOf(node.consequent) ?? this.#placeOf(node.alternate)
      case 'AwaitExpression':
        return this.#placeOf(node.argument)
      default:
        return undefined
    }
  }

  #named(name: string): Place | undefined {
    const isOnce = (this.#declared.get(name) ?? 0) <= 1
    const place = isOnce ? this.#places.get(name) : undefined
    if (place) return place
    if (name === '__filename') return { kind: 'self' }
    return name === '__dirname' && !this.#declared.has(name) ? folder : undefined
  }

  #called(node: CallExpression | NewExpression): Place | undefined {
    const [first, second] = node.arguments
    const name = calleeOf(node)
    if (name === 'URL' && second) return beside(this.#placeOf(second), literal(first))
    if (name === 'toString' && node.callee.type === 'MemberExpression')
      return this.#placeOf(node.callee.object)
    if (name === 'resolve' && node.callee.type === 'MemberExpression') {
      const isMeta = node.callee.object.type === 'MetaProperty'
      if (isMeta) return beside({ kind: 'self' }, literal(first))
    }
    const place = this.#placeOf(first)
    if (!place) return undefined
    if (rewordings.has(name)) return place
    if (name === 'createRequire') return { kind: 'require' }
    if (name === 'dirname') return place.kind === 'self' ? folder : joined(place, ['..'])
    if (name === 'join' || name === 'resolve') return joined(place, node.arguments.slice(1).map(literal))
    return undefined
  }
}

function ofMeta(name: string): Place | undefined {
  if (name === 'dirname') return folder
  return name === 'url' || name === 'filename' ? { kind: 'self' } : undefined
}

/** As `new URL(to, place)` understands it. */
function beside(place: Place | undefined, to: string | undefined): Place | undefined {
  if (!place || place.kind === 'require') return undefined
  if (to === undefined) return { kind: 'beside', path: undefined }
  // A URL of its own, or an absolute path: it does not lead to the module's surroundings.
  if (/^([a-z][a-z\d+.-]*:|\/)/i.test(to)) return undefined
  return to === '' || to === '.' || to === './' ? folder : { kind: 'beside', path: to }
}

/** As strings and paths are joined; unknown parts make an unknown path. */
function joined(place: Place | undefined, parts: readonly (string | undefined)[]): Place | undefined {
  if (!place || place.kind === 'require') return undefined
  if (parts.length === 0) return place
  const start = place.kind === 'self' ? '' : place.path
  if (start === undefined || parts.includes(undefined)) return { kind: 'beside', path: undefined }
  const path = [start, ...parts].join('/').replace(/\/+/g, '/').replace(/^\//, '')
  return { kind: 'beside', path }
}

function literal(node: AnyNode | undefined): string | undefined {
  if (node?.type === 'Literal' && typeof node.value === 'string') return node.value
  if (node?.type === 'TemplateLiteral' && node.expressions.length === 0)
    return node.quasis[0]?.value.cooked ?? undefined
  return undefined
}

/** `join` of `join()`, `path.join()`, `(0, import_path.join)()` and `join2()`, as bundlers rename. */
function calleeOf({ callee }: CallExpression | NewExpression): string {
  const called = callee.type === 'SequenceExpression' ? callee.expressions.at(-1) : callee
  if (called?.type === 'Identifier') return called.name.replace(/\d+$/, '')
  return called?.type === 'MemberExpression' ? nameOf(called) : ''
}

function nameOf({ property, computed }: Extract<AnyNode, { type: 'MemberExpression' }>): string {
  return !computed && property.type === 'Identifier' ? property.name : ''
}

function* childrenOf(node: AnyNode): Generator<AnyNode> {
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value])
      if (typeof child === 'object' && child !== null && typeof child.type === 'string') yield child
  }
}
