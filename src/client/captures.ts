/**
 * Which names a function takes from around it: these stay behind when its text travels.
 *
 * Not here: what is done about them (functions.ts).
 * Declarations are noted scope by scope and uses beside them; resolving all uses at the end makes hoisting a non-event.
 */
import { builtinModules, isBuiltin } from 'node:module'
import type {
  AnyNode,
  ArrowFunctionExpression,
  Class,
  Expression,
  Function as FunctionNode,
  Pattern
} from 'acorn'
import { parse } from 'acorn'

export type Captures =
  /** `kind` is what the text is instead of a function that stands alone. */
  | { kind: 'method' | 'class' | 'unreadable'; reason: string }
  | {
      kind: 'function'
      /** Free names in order of first use, `this` and `arguments` of a surrounding function included. */
      names: readonly string[]
      /** Literal specifiers of dynamic imports that another machine cannot resolve. */
      imports: readonly string[]
      /** It imports what its text does not name. */
      seeks: boolean
    }

interface Scope {
  readonly names: Set<string>
  readonly parent: Scope | undefined
  /** Where `var` goes. */
  readonly isVarScope: boolean
}

interface Use {
  readonly name: string
  readonly scope: Scope
}

/** What every engine has. */
const ours = new Set(['shoal', 'shoal/task'])
// As of loading: names that a program adds to globalThis later exist on its own machine only.
const GLOBALS = new Set(Object.getOwnPropertyNames(globalThis))
// A bundle adds the first to the engine that it runs in (bundle.ts), which may have loaded it before this.
const added = ['require', '__filename', '__dirname', 'module', 'exports']
// Node's prompt, and `node -e`, have all of its modules, of which three are globals elsewhere, too.
const prompted = ['_', '_error', ...builtinModules]
const everywhere = new Set(['console', 'crypto', 'process'])
for (const name of [...added, ...prompted]) if (!everywhere.has(name)) GLOBALS.delete(name)

/** Reads a function's text, `fn.toString()`. Never throws. O(text). */
export function capturesOf(source: string): Captures {
  let root: Expression
  try {
    root = parseExpression(source)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return { kind: isMethod(source) ? 'method' : 'unreadable', reason }
  }
  if (root.type === 'ClassExpression') return { kind: 'class', reason: 'a class is called with `new`' }
  if (root.type !== 'FunctionExpression' && root.type !== 'ArrowFunctionExpression') {
    return { kind: 'unreadable', reason: `its text is a ${root.type}` }
  }
  const reader = new Reader()
  reader.read(root)
  return { kind: 'function', names: reader.freeNames(), imports: [...reader.imports], seeks: reader.seeks }
}

function parseExpression(source: string): Expression {
  // As a module, and so strict: this is how the text will be loaded.
  const program = parse(`(${source}\n)`, { ecmaVersion: 'latest', sourceType: 'module' })
  const [statement] = program.body
  if (program.body.length !== 1 || statement?.type !== 'ExpressionStatement') throw new Error('no expression')
  return statement.expression
}

function isMethod(source: string): boolean {
  try {
    // In a class with a parent, where a method may say `super`.
    parse(`(class extends Object { ${source}\n})`, { ecmaVersion: 'latest', sourceType: 'module' })
    return true
  } catch {
    return false
  }
}

/** Whether a module may declare a variable of this name. */
export function isBindable(name: string): boolean {
  // The pattern first: `a = 1, b` would parse as well.
  if (!/^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(name)) return false
  try {
    parse(`const ${name} = 0`, { ecmaVersion: 'latest', sourceType: 'module' })
    return true
  } catch {
    return false
  }
}

class Reader {
  readonly imports = new Set<string>()
  seeks = false
  readonly #uses: Use[] = []
  #scope: Scope = { names: new Set(), parent: undefined, isVarScope: true }

  read(root: AnyNode): void {
    this.#visit(root)
  }

  freeNames(): string[] {
    const free = new Set<string>()
    for (const { name, scope } of this.#uses)
      if (!isDeclared(name, scope) && !GLOBALS.has(name)) free.add(name)
    return [...free]
  }

  #visit(node: AnyNode | null | undefined): void {
    if (!node) return
    switch (node.type) {
      case 'Identifier':
        this.#use(node.name)
        return
      case 'ThisExpression':
        this.#use('this')
        return
      case 'MetaProperty':
      case 'BreakStatement':
      case 'ContinueStatement':
        return
      case 'LabeledStatement':
        this.#visit(node.body)
        return
      case 'MemberExpression':
        this.#visit(node.object)
        if (node.computed) this.#visit(node.property)
        return
      case 'Property':
        if (node.computed) this.#visit(node.key)
        this.#visit(node.value)
        return
      case 'VariableDeclaration':
        for (const { id, init } of node.declarations) {
          this.#declare(id, node.kind === 'var' ? varScope(this.#scope) : this.#scope)
          this.#visit(init)
        }
        return
      case 'ImportExpression':
        this.#import(node.source)
        this.#children(node)
        return
      default:
        this.#visitScoped(node)
    }
  }

  #visitScoped(node: AnyNode): void {
    switch (node.type) {
      case 'FunctionDeclaration':
        if (node.id) this.#declare(node.id, this.#scope)
        this.#function(node)
        return
      case 'FunctionExpression':
        this.#within(false, () => {
          if (node.id) this.#declare(node.id, this.#scope)
          this.#function(node)
        })
        return
      case 'ArrowFunctionExpression':
        this.#function(node)
        return
      case 'ClassDeclaration':
        if (node.id) this.#declare(node.id, this.#scope)
        this.#class(node)
        return
      case 'ClassExpression':
        this.#class(node)
        return
      case 'CatchClause':
        this.#within(false, () => {
          if (node.param) this.#declare(node.param, this.#scope)
          this.#visit(node.body)
        })
        return
      case 'BlockStatement':
      case 'ForStatement':
      case 'ForInStatement':
      case 'ForOfStatement':
      case 'SwitchStatement':
        this.#within(false, () => this.#children(node))
        return
      default:
        this.#children(node)
    }
  }

  #function(node: FunctionNode | ArrowFunctionExpression): void {
    this.#within(true, () => {
      if (node.type !== 'ArrowFunctionExpression') this.#bindThis()
      for (const param of node.params) this.#declare(param, this.#scope)
      // A scope of its own: a parameter's default does not see the variables of the body.
      this.#within(true, () => this.#visit(node.body))
    })
  }

  #class(node: Class): void {
    this.#within(false, () => {
      if (node.id) this.#declare(node.id, this.#scope)
      this.#visit(node.superClass)
      for (const member of node.body.body) {
        if (member.type === 'StaticBlock') {
          this.#within(true, () => {
            this.#bindThis()
            this.#children(member)
          })
          continue
        }
        if (member.computed) this.#visit(member.key)
        this.#within(true, () => {
          this.#bindThis()
          this.#visit(member.value)
        })
      }
    })
  }

  #bindThis(): void {
    this.#scope.names.add('this').add('arguments')
  }

  /** Declares the names of a pattern; its defaults and computed keys are uses. */
  #declare(pattern: Pattern, scope: Scope): void {
    switch (pattern.type) {
      case 'Identifier':
        scope.names.add(pattern.name)
        return
      case 'ObjectPattern':
        for (const property of pattern.properties) {
          if (property.type === 'RestElement') {
            this.#declare(property.argument, scope)
            continue
          }
          if (property.computed) this.#visit(property.key)
          this.#declare(property.value, scope)
        }
        return
      case 'ArrayPattern':
        for (const element of pattern.elements) if (element) this.#declare(element, scope)
        return
      case 'AssignmentPattern':
        this.#declare(pattern.left, scope)
        this.#visit(pattern.right)
        return
      case 'RestElement':
        this.#declare(pattern.argument, scope)
        return
      default:
        this.#visit(pattern)
    }
  }

  #import(source: Expression): void {
    if (source.type !== 'Literal' || typeof source.value !== 'string') {
      this.seeks = true
      return
    }
    if (ours.has(source.value)) return
    if (!isBuiltin(source.value) && !/^(https?|data|file):/.test(source.value)) this.imports.add(source.value)
  }

  #use(name: string): void {
    this.#uses.push({ name, scope: this.#scope })
  }

  #within(isVarScope: boolean, visit: () => void): void {
    const parent = this.#scope
    this.#scope = { names: new Set(), parent, isVarScope }
    visit()
    this.#scope = parent
  }

  #children(node: AnyNode): void {
    for (const child of childrenOf(node)) this.#visit(child)
  }
}

export function childrenOf(node: AnyNode): AnyNode[] {
  return Object.values(node).flat().filter(isNode)
}

function isNode(value: unknown): value is AnyNode {
  return typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string'
}

function isDeclared(name: string, scope: Scope | undefined): boolean {
  for (let at = scope; at; at = at.parent) if (at.names.has(name)) return true
  return false
}

function varScope(scope: Scope): Scope {
  let at = scope
  while (!at.isVarScope && at.parent) at = at.parent
  return at
}
