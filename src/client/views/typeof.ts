/**
 * `typeof` of names that nobody knows, in text that runs on an engine.
 *
 * Not here: the names (namespace.ts).
 * There a `with` looks for every free name, and is not told that somebody only asks for its type: it refuses one that nobody knows
 * to `typeof`, too. So in the text that is sent each such question catches the refusal itself.
 */
import type { AnyNode } from 'acorn'
import { childrenOf } from '../captures.ts'

const before = '(() => { try { return '
const after = ' } catch {} })()'

/** Throws what `read` throws. O(text). */
export function withQuietTypeof(text: string, read: (text: string) => AnyNode): string {
  if (!text.includes('typeof')) return text
  const parts: string[] = []
  let end = 0
  for (const name of askedWithin(read(text)).sort((a, b) => a.start - b.start)) {
    parts.push(text.slice(end, name.start), before, text.slice(name.start, name.end), after)
    end = name.end
  }
  return parts.join('') + text.slice(end)
}

function askedWithin(node: AnyNode): AnyNode[] {
  if (node.type !== 'UnaryExpression' || node.operator !== 'typeof' || node.argument.type !== 'Identifier')
    return childrenOf(node).flatMap(askedWithin)
  return [node.argument]
}
