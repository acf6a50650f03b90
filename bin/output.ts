/**
 * Text for terminals and programs: tables, and values as lines.
 *
 * Not here: what is shown (commands/), where results go (results.ts), how far a job is (src/client/progress.ts).
 * What other machines say may hold anything, so nothing of it gets to a terminal with its control characters.
 */
import { inspect } from 'node:util'

const cellMax = 60
const briefMax = 100

/** One line without anything that moves a cursor, changes a colour, or turns text around. */
export function plain(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ')
}

/** As `plain`, and no longer than it takes to know what is meant: an input may be a book. */
export function brief(text: string): string {
  return text.length > briefMax ? `${plain(text.slice(0, briefMax))}…` : plain(text)
}

function cell(value: unknown): string {
  const characters = [...plain(String(value))]
  return characters.length > cellMax ? `${characters.slice(0, cellMax - 1).join('')}…` : characters.join('')
}

/** Columns under their names, as wide as they need to be; numbers to the right. */
export function table(columns: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const texts = [columns, ...rows.map((row) => row.map(cell))]
  const widths = columns.map((_, at) => Math.max(...texts.map((row) => [...(row[at] ?? '')].length)))
  const isNumeric = columns.map(
    (_, at) => rows.length > 0 && rows.every((row) => typeof row[at] === 'number')
  )
  const lines = texts.map((row) =>
    row.map((text, at) => {
      const gap = ' '.repeat((widths[at] ?? 0) - [...text].length)
      return isNumeric[at] ? gap + text : text + gap
    })
  )
  return lines.map((row) => `${row.join('  ').trimEnd()}\n`).join('')
}

const idLeast = 6

/** The ends of ids, which differ, while all ids of one kind begin alike; as long as it takes to tell them apart. */
export function shortIds(ids: readonly string[]): Map<string, string> {
  const all = [...new Set(ids)]
  const longest = Math.max(0, ...all.map((id) => id.length))
  for (let length = idLeast; length < longest; length++) {
    const short = new Map(all.map((id) => [id, id.slice(-length)]))
    if (new Set(short.values()).size === all.length) return short
  }
  return new Map(all.map((id) => [id, id]))
}

export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}

/** Local time, to the second. */
export function clock(ms: number): string {
  const date = new Date(ms)
  if (Number.isNaN(date.getTime())) return '?'
  const two = (number: number): string => String(number).padStart(2, '0')
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}

/** Strings as they are, everything else as JSON. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : jsonOf(value)
}

/** One line of JSON for any value that a task may return: what JSON lacks becomes the nearest that it has. */
export function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value, nearestJson) ?? 'null'
  } catch {
    // A value that contains itself.
    return JSON.stringify(inspect(value, { breakLength: Number.POSITIVE_INFINITY }))
  }
}

function nearestJson(this: unknown, key: string, json: unknown): unknown {
  // `json` is what `toJSON` made of it.
  const value = (this as Record<string, unknown>)[key]
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Map || value instanceof Set) return [...value]
  if (value instanceof Uint8Array)
    return Buffer.from(value.buffer, value.byteOffset, value.length).toString('base64')
  if (ArrayBuffer.isView(value) && !(value instanceof DataView))
    return [...(value as unknown as Iterable<number>)]
  if (value instanceof Error) return { name: value.name, message: value.message }
  if (value instanceof RegExp) return String(value)
  return json
}
