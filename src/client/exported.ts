/**
 * What an export of a bundle is, where its text leaves no doubt: a number, or a class, is nothing that a task could call.
 *
 * Not here: making the bundle (bundle.ts), refusing it (functions.ts).
 * What a module exports is known for sure only when it runs, and nothing runs here. But a variable that is declared with a
 * literal and assigned to nowhere stays what it is; everything else is let go, and shows when the first task runs.
 */
import type { AnyNode, Program } from 'acorn'
import { parse } from 'acorn'
import { childrenOf } from './surroundings.ts'

/** Why a task can never call this export, as in "a number"; `undefined` if it perhaps can. */
export function misfitOf(text: string, exportName: string): string | undefined {
  const name = localName(text, exportName)
  if (name === undefined || !isSuspect(text, name)) return undefined
  try {
    return kindIn(parse(text, { ecmaVersion: 'latest', sourceType: 'module' }), name)
  } catch {
    // Newer syntax than the parser knows, or nested too deeply for it.
    return undefined
  }
}

/** By the list of exports, with which esbuild ends what it prints. */
function localName(text: string, exportName: string): string | undefined {
  const list = text.slice(text.lastIndexOf('\nexport {\n')).matchAll(/^ {2}([^\s,]+)(?: as ([^\s,]+))?,?$/gm)
  for (const [, local, as = local] of list) if (as === exportName) return local
  return undefined
}

/** Whether it could be such a thing, by how its declaration begins: most functions need not be read for that. */
function isSuspect(text: string, name: string): boolean {
  const start = /(?:class\b|[\d"'`[{+\-!~/]|(?:true|false|null|void|typeof)\b)/
  const escaped = name.replaceAll('$', String.raw`\$`)
  return new RegExp(`^(?:var|let|const) ${escaped} = ${start.source}`, 'm').test(text)
}

function kindIn(program: Program, name: string): string | undefined {
  const declared = program.body
    .flatMap((node) => (node.type === 'VariableDeclaration' ? node.declarations : []))
    .filter(({ id }) => id.type === 'Identifier' && id.name === name)
  const [one, ...others] = declared
  const isSure = others.length === 0 && changesOf(program, name) === 1
  return isSure && one?.init ? kindOf(one.init) : undefined
}

/** How often a value is given to a variable of this name, its declaration counted; variables of inner blocks aside. */
function changesOf(node: AnyNode, name: string): number {
  let changes = 0
  if (node.type === 'VariableDeclaration' && node.kind === 'var')
    changes += node.declarations.filter(({ id }) => speaksOf(id, name)).length
  else if (node.type === 'AssignmentExpression' && speaksOf(node.left, name)) changes++
  else if (node.type === 'UpdateExpression' && speaksOf(node.argument, name)) changes++
  else if ((node.type === 'ForOfStatement' || node.type === 'ForInStatement') && speaksOf(node.left, name))
    changes++
  for (const child of childrenOf(node)) changes += changesOf(child, name)
  return changes
}

function speaksOf(node: AnyNode, name: string): boolean {
  if (node.type === 'Identifier') return node.name === name
  return [...childrenOf(node)].some((child) => speaksOf(child, name))
}

function kindOf(value: AnyNode): string | undefined {
  switch (value.type) {
    case 'Literal':
      return ofLiteral(value.value)
    case 'TemplateLiteral':
      return 'a text'
    case 'ObjectExpression':
      return 'an object'
    case 'ArrayExpression':
      return 'a list'
    case 'ClassExpression':
      return 'a class'
    case 'UnaryExpression':
      return value.operator === '-' && value.argument.type === 'Literal' ? 'a number' : 'a value'
    case 'BinaryExpression':
      return /^[-*/%]/.test(value.operator) ? 'a number' : 'a value'
    default:
      return undefined
  }
}

function ofLiteral(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'bigint') return 'a number'
  return typeof value === 'string' ? 'a text' : 'a value'
}
