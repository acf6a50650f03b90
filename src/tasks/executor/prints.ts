/**
 * Catches what tasks print, in the name of the task that prints it.
 *
 * Not here: how much of it is kept (context.ts). What nobody in particular prints, or a task that has ended, goes where the
 * engine's own output goes.
 */
import { StringDecoder } from 'node:string_decoder'
import { type Context, origin, type PrintStream } from './context.ts'

type Callback = (error?: Error | null) => void

/** From here on, of this thread or process. */
export function catchPrints(): void {
  catchOf(process.stdout, 'stdout')
  catchOf(process.stderr, 'stderr')
}

function catchOf(stream: NodeJS.WriteStream, name: PrintStream): void {
  const write = stream.write.bind(stream)
  /** Of tasks that print bytes: those of a character may come one by one. */
  const decoders = new WeakMap<Context, StringDecoder>()
  const decoderOf = (context: Context): StringDecoder => {
    const before = decoders.get(context)
    if (before !== undefined) return before
    const decoder = new StringDecoder()
    decoders.set(context, decoder)
    context.whenOver(() => printed(context, decoder.end()))
    return decoder
  }
  const printed = (context: Context, text: string): void => {
    if (text !== '') context.print(name, text)
  }
  const caught = (chunk: unknown, encoding?: BufferEncoding | Callback, callback?: Callback): boolean => {
    const context = origin.getStore()
    const part = context === undefined || context.isOver ? undefined : partOf(chunk, encoding)
    if (context === undefined || part === undefined)
      return write(chunk as string, encoding as BufferEncoding, callback)
    if (typeof part === 'string') printed(context, (decoders.get(context)?.end() ?? '') + part)
    else printed(context, decoderOf(context).write(part))
    const then = typeof encoding === 'function' ? encoding : callback
    if (typeof then === 'function') process.nextTick(then)
    return true
  }
  stream.write = caught as typeof stream.write
}

/** `undefined` for what is neither text nor bytes: the stream itself says what is wrong with it. */
function partOf(chunk: unknown, encoding: unknown): string | Buffer | undefined {
  if (typeof chunk === 'string') {
    const isPlain = typeof encoding !== 'string' || /^utf-?8$/i.test(encoding)
    return isPlain ? chunk : Buffer.from(chunk, encoding as BufferEncoding)
  }
  if (!ArrayBuffer.isView(chunk)) return undefined
  return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
}
