/**
 * Statements as people type them at a prompt, made ready to run inside an async function of an engine.
 *
 * Not here: running them (namespace.ts).
 * What is declared at the top level outlives the call, so a declaration becomes an assignment to a name of the engine; functions
 * come first, as everywhere; the last expression becomes the result.
 */
import { type ModuleDeclaration, type Program, parse, type Statement } from 'acorn'
import { ShoalError } from '../../errors.ts'
import { withQuietTypeof } from './typeof.ts'

/** Throws SHOAL_BAD_FUNCTION for what cannot be read, and says where. O(text). */
export function prepare(text: string): string {
  const source = withQuietTypeof(text, read)
  const { body } = read(source)
  const first: string[] = []
  const rest: string[] = []
  for (const [at, statement] of body.entries()) {
    const text = source.slice(statement.start, statement.end)
    if (statement.type === 'FunctionDeclaration') first.push(`${statement.id.name} = ${text};`)
    else rest.push(rewritten(statement, text, source, at === body.length - 1))
  }
  return [...first, ...rest].join('\n')
}

function rewritten(
  statement: Statement | ModuleDeclaration,
  text: string,
  source: string,
  isLast: boolean
): string {
  switch (statement.type) {
    case 'ClassDeclaration':
      return `${statement.id.name} = ${text};`
    case 'VariableDeclaration':
      return statement.declarations
        .map(({ id, init }) => {
          const value = init ? source.slice(init.start, init.end) : 'undefined'
          return `(${source.slice(id.start, id.end)} = ${value});`
        })
        .join(' ')
    case 'ExpressionStatement': {
      const { start, end } = statement.expression
      return isLast ? `return (${source.slice(start, end)});` : `${text};`
    }
    default:
      return `${text};`
  }
}

function read(source: string): Program {
  try {
    return parse(source, { ecmaVersion: 'latest', sourceType: 'script', allowAwaitOutsideFunction: true })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    const advice = /import|export/.test(reason) ? '; use `await import(…)`' : ''
    throw new ShoalError('SHOAL_BAD_FUNCTION', `these statements cannot be read: ${reason}${advice}`, {
      cause
    })
  }
}
