/**
 * `{}` and its relatives, as GNU parallel has them: parts of an input in the words of a command.
 *
 * Not here: where inputs come from (bin/commands/run.ts), what is done with the words (programs.ts).
 * A text is cut at its templates only, so that whatever else has braces, awk or JSON, stays as it is.
 */

/** `{}` the input, `{/}` its last part, `{.}` without extension, `{/.}` both, `{//}` its folder, `{#}` its number from 1. */
const TEMPLATE = /\{(\/\/|\/\.|\/|\.|#)?\}/g

export interface TemplateInput {
  readonly text: string
  /** From 1. */
  readonly number: number
}

export function hasTemplate(text: string): boolean {
  return text.search(TEMPLATE) >= 0
}

/** The text with its templates filled in, each passed through `quote`. Without an input, braces mean nothing. */
export function fill(
  text: string,
  input: TemplateInput | undefined,
  quote: (part: string) => string = (part) => part
): string {
  if (input === undefined) return text
  return text.replace(TEMPLATE, (_, what: string | undefined) => quote(partOf(input, what)))
}

function partOf({ text, number }: TemplateInput, what: string | undefined): string {
  switch (what) {
    case '/':
      return text.replace(/^.*\//s, '')
    case '.':
      return text.replace(/\.[^/.]+$/, '')
    case '/.':
      return text.replace(/^.*\//s, '').replace(/\.[^/.]+$/, '')
    case '//':
      return folderOf(text)
    case '#':
      return String(number)
    default:
      return text
  }
}

/** As `dirname` does it. */
function folderOf(text: string): string {
  const bare = text.replace(/(?<=.)\/+$/s, '')
  const at = bare.lastIndexOf('/')
  if (at < 0) return '.'
  return bare.slice(0, at).replace(/(?<=.)\/+$/s, '') || '/'
}

/** One word of a POSIX shell. */
export function shellWord(text: string): string {
  return /^[A-Za-z0-9_%+,./:=@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

/**
 * Where a file of this path lies in a folder of its own: the path itself if it stays inside, else its last part.
 * `undefined` if nothing is left of it.
 */
export function insideName(path: string): string | undefined {
  const parts: string[] = []
  let isOutside = path.startsWith('/')
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') parts.push(part)
    else if (parts.pop() === undefined) isOutside = true
  }
  return isOutside ? parts.at(-1) : parts.join('/') || undefined
}

/** True for a relative path that does not leave its folder. */
export function isInside(path: string): boolean {
  let depth = 0
  for (const part of path.split('/')) {
    if (part === '..') depth--
    else if (part !== '' && part !== '.') depth++
    if (depth < 0) return false
  }
  return depth > 0 && !path.startsWith('/') && !path.includes('\0')
}
