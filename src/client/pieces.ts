/**
 * What is put, as pieces of bytes, whatever it was given as.
 *
 * Not here: chunks (node/chunks.ts), and where they go (data.ts).
 */
import { ShoalError } from '../errors.ts'
import { chunkBytes, piecesOfFile } from '../node/chunks.ts'
import { untilAborted } from './abortable.ts'
import { refuse, shown } from './checks.ts'
import type { DataSource } from './types.ts'

export const isFile = (source: DataSource): source is { readonly file: string | URL } =>
  typeof source === 'object' && source !== null && 'file' in source

/** Rejects with the signal's reason as soon as that aborts, and leaves the source. */
export function piecesOf(source: DataSource, signal: AbortSignal): AsyncIterable<Uint8Array> {
  if (source instanceof Uint8Array) return untilAborted(slices(source), signal)
  if (isFile(source)) return untilAborted(ownFile(source.file), signal)
  if (source instanceof URL) return untilAborted(ownFile(source), signal)
  if (
    typeof source === 'object' &&
    source !== null &&
    (Symbol.asyncIterator in source || Symbol.iterator in source)
  )
    return checkedPieces(untilAborted<unknown>(source, signal))
  return refuse(`\`put\` takes bytes, \`{ file: path }\`, or an iterable of bytes; this is ${shown(source)}`)
}

async function* ownFile(file: string | URL): AsyncGenerator<Uint8Array> {
  try {
    yield* piecesOfFile(file)
  } catch (cause) {
    throw unread(file, cause)
  }
}

export function unread(file: string | URL, cause: unknown): ShoalError {
  const message = `the file ${shown(file)} cannot be read: ${cause instanceof Error ? cause.message : cause}`
  return new ShoalError('SHOAL_BAD_OPTION', message, { cause })
}

async function* slices(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes)
}

async function* checkedPieces(source: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  for await (const piece of source) {
    if (!(piece instanceof Uint8Array)) {
      const text = `a stream of data has a ${typeof piece} in it; give Uint8Arrays`
      throw new ShoalError('SHOAL_BAD_VALUE', text)
    }
    yield piece
  }
}
