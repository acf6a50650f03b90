/**
 * Blobs between nodes: one stream asks for a digest and carries the answer in chunks.
 *
 * Not here: where blobs are kept (blobs.ts).
 * The asker knows the hash of what it asked for, so whom it asks need not be trusted, only tried.
 */
import type { Connection, Stream, StreamMessageEvent } from '@libp2p/interface'
import { decode, encode } from 'it-length-prefixed'
import { pipe } from 'it-pipe'
import { ShoalError } from '../errors.ts'
import { type Digest, isDigest } from '../ids.ts'
import { blobBytesMax, digestOf } from './blobs.ts'
import { peerOf, reasonOf } from './host.ts'
import type { Counters } from './stream.ts'

export const BLOB_PROTOCOL = '/shoal/blob/1.0.0'
/** Fetches of one peer at a time; libp2p resets the next one, and its asker tries another peer. */
export const blobStreamsMax = 64
/** One transfer; whoever is slower is given up. */
const transferMs = 20_000
const chunkBytes = 64 * 1024
const requestBytesMax = 64
/** How a request that cannot be read is counted, by the name of its error. */
const faults: Readonly<Record<string, string>> = {
  InvalidDataLengthError: 'frames-too-large',
  InvalidDataLengthLengthError: 'frames-too-large',
  UnexpectedEOFError: 'frames-cut-off'
}

type Chunk = StreamMessageEvent['data']

export interface BlobSource {
  read(digest: Digest): Promise<Uint8Array | undefined>
}

/** Answers one request: the size (empty if there is no such blob), then the bytes in chunks. Never rejects. */
export async function serveBlob(stream: Stream, blobs: BlobSource, counters: Counters): Promise<void> {
  const signal = AbortSignal.timeout(transferMs)
  try {
    const digest = await pipe(
      untilAborted(stream, signal),
      (source) => decode(source, { maxDataLength: requestBytesMax }),
      first
    )
    const name = digest === undefined ? '' : Buffer.from(digest.subarray()).toString()
    if (!isDigest(name)) {
      counters.add('frames-malformed')
      throw new Error('this is no digest')
    }
    const bytes = await blobs.read(name)
    await pipe(
      answer(bytes),
      (source) => encode(source),
      (source) => sendAll(stream, source, signal)
    )
    await stream.close({ signal })
    counters.add('blobs-served')
  } catch (error) {
    const fault = error instanceof Error ? faults[error.name] : undefined
    if (fault !== undefined) counters.add(fault)
    stream.abort(error instanceof Error ? error : new Error(String(error)))
  }
}

/** The first good answer of these connections, in order; SHOAL_NOT_FOUND if there is none. */
export async function fetchBlob(
  digest: Digest,
  connections: readonly Connection[],
  counters: Counters
): Promise<Uint8Array> {
  const failures: string[] = []
  for (const connection of connections) {
    try {
      return await fetchFrom(connection, digest)
    } catch (error) {
      counters.add('blob-fetches-failed')
      failures.push(`${peerOf(connection)}: ${reasonOf(error)}`)
    }
  }
  const asked = failures.length > 0 ? failures.join('; ') : 'nobody to ask is connected'
  throw new ShoalError('SHOAL_NOT_FOUND', `no blob ${digest} (${asked})`)
}

async function fetchFrom(connection: Connection, digest: Digest): Promise<Uint8Array> {
  const signal = AbortSignal.timeout(transferMs)
  const stream = await connection.newStream(BLOB_PROTOCOL, { signal, maxOutboundStreams: blobStreamsMax })
  try {
    // Listening begins before asking, so that no chunk of the answer is early.
    const incoming = untilAborted(stream, signal)
    await pipe(
      [Buffer.from(digest)],
      (source) => encode(source),
      (source) => sendAll(stream, source, signal)
    )
    const bytes = await pipe(incoming, (source) => decode(source, { maxDataLength: chunkBytes }), collect)
    if (digestOf(bytes) !== digest) throw new Error('it sent other bytes')
    await stream.close({ signal })
    return bytes
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error(String(error)))
    throw error
  }
}

function* answer(bytes: Uint8Array | undefined): Generator<Uint8Array> {
  if (bytes === undefined) {
    yield new Uint8Array(0)
    return
  }
  const size = Buffer.alloc(4)
  size.writeUInt32LE(bytes.length)
  yield size
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes)
}

/** A stream that ends early looks like one that ended well; the size sent first tells them apart. */
async function collect(source: AsyncIterable<Chunk>): Promise<Uint8Array> {
  let size: number | undefined
  let have = 0
  const chunks: Uint8Array[] = []
  for await (const message of source) {
    const chunk = message.subarray()
    if (size === undefined) {
      if (chunk.length !== 4) throw new Error('it does not have it')
      size = Buffer.from(chunk).readUInt32LE()
      if (size > blobBytesMax) throw new Error(`its ${size} bytes exceed ${blobBytesMax}`)
    } else {
      chunks.push(chunk)
      have += chunk.length
    }
    if (have > size) throw new Error('it sent more than it had announced')
    if (have === size) return Buffer.concat(chunks, size)
  }
  throw new Error(`it ended after ${have} of ${size ?? 'unknown'} bytes`)
}

async function first(source: AsyncIterable<Chunk>): Promise<Chunk | undefined> {
  for await (const message of source) return message
  return undefined
}

async function sendAll(
  stream: Stream,
  source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  signal: AbortSignal
) {
  for await (const chunk of source) {
    if (!stream.send(chunk)) await nextDrain(stream, signal)
  }
}

/** Waits for the `drain` event: the promise of onDrain() stays resolved after its first use. */
function nextDrain(stream: Stream, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onClose = (): void => reject(new Error('the stream closed in the middle of a transfer'))
  const onLate = (): void => reject(new Error('no answer in time'))
  stream.addEventListener('drain', () => resolve(), { once: true })
  stream.addEventListener('close', onClose, { once: true })
  signal.addEventListener('abort', onLate, { once: true })
  if (stream.status !== 'open') onClose()
  return promise.finally(() => {
    stream.removeEventListener('close', onClose)
    signal.removeEventListener('abort', onLate)
  })
}

/** What arrives on the stream. Reading fails when the time is over, since a silent peer ends nothing by itself. */
function untilAborted(stream: Stream, signal: AbortSignal): AsyncIterable<Chunk> {
  signal.addEventListener('abort', () => stream.abort(new Error('no answer in time')), { once: true })
  return stream
}
