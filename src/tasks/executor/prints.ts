/**
 * Catches what tasks print, in the name of the task that prints it.
 *
 * Not here: how much of it is kept (context.ts). What nobody in particular prints, or a task that has ended, goes where the
 * engine's own output goes.
 */
import { origin, type PrintStream } from './context.ts'

type Callback = (error?: Error | null) => void

/** From here on, of this thread or process. */
export function catchPrints(): void {
  catchOf(process.stdout, 'stdout')
  catchOf(process.stderr, 'stderr')
}

function catchOf(stream: NodeJS.WriteStream, name: PrintStream): void {
  const write = stream.write.bind(stream)
  const caught = (chunk: unknown, encoding?: BufferEncoding | Callback, callback?: Callback): boolean => {
    const context = origin.getStore()
    const text = context === undefined || context.isOver ? undefined : textOf(chunk, encoding)
    if (context === undefined || text === undefined)
      return write(chunk as string, encoding as BufferEncoding, callback)
    context.print(name, text)
    const then = typeof encoding === 'function' ? encoding : callback
    if (typeof then === 'function') process.nextTick(then)
    return true
  }
  stream.write = caught as typeof stream.write
}

/** `undefined` for what is no text: the stream itself says what is wrong with it. */
function textOf(chunk: unknown, encoding: unknown): string | undefined {
  if (typeof chunk === 'string') {
    const isPlain = typeof encoding !== 'string' || /^utf-?8$/i.test(encoding)
    return isPlain ? chunk : Buffer.from(chunk, encoding as BufferEncoding).toString()
  }
  if (!ArrayBuffer.isView(chunk)) return undefined
  return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString()
}
