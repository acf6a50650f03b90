/**
 * `shoal repl`: a prompt of Node.js at which the mesh is at hand.
 *
 * Not here: views (src/client/views). A line from a pipe is read when the one before has been done, so that scripts of lines
 * do what people at a terminal would see.
 */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { type AsyncCompleter, createInterface } from 'node:readline'
import { type REPLServer, start } from 'node:repl'
import { PassThrough } from 'node:stream'
import { inspect } from 'node:util'
import * as shoal from '../../src/index.ts'
import { readArguments, refuseOperands } from '../arguments.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../failure.ts'
import { meshFlags, meshUsage, reachMesh } from '../mesh.ts'

const { json: _, ...flags } = meshFlags

/** By engine. */
type Results = Map<string, shoal.AsyncResult<unknown>>

export const repl: Command = {
  usage: `usage: shoal repl [FLAGS]

A prompt of Node.js with the mesh at hand: \`mesh\` (what connect() gives), \`view\` (all engines), \`shoal\` (the module).
\`await\` works. A line that begins with .px runs on every engine, in the engine's own namespace, and shows what each
printed and gave; in code, that is \`await px('…')\`. Ctrl-C interrupts what a .px line waits
for, and engines that do not compute keep their names; of other lines it ends the waiting only. History is kept in ~/.shoal_history ($SHOAL_HISTORY, empty for none).

${meshUsage}`,
  async run(args) {
    const { values, operands } = readArguments('repl', args, flags)
    refuseOperands('repl', operands)
    const mesh = await reachMesh(values)
    try {
      await atPrompt(mesh)
      return EXIT.done
    } finally {
      await mesh.close()
    }
  }
}

async function atPrompt(mesh: shoal.Client): Promise<void> {
  const isTerminal = process.stdin.isTTY === true
  const input = isTerminal ? process.stdin : new PassThrough()
  const ended = Promise.withResolvers<void>()
  const server = start({
    prompt: isTerminal ? 'shoal> ' : '',
    input,
    output: process.stdout,
    terminal: isTerminal,
    ignoreUndefined: true,
    // Objects and Maps of another realm would not be looked into for handles and Refs.
    useGlobal: true,
    breakEvalOnSigint: isTerminal
  })
  completeAnywhere(server)
  server.on('exit', () => ended.resolve())
  const px = (statements: string): Promise<void> => onEngines(mesh, statements, new Map())
  Object.assign(server.context, { mesh, view: mesh.view('all'), shoal, px })
  server.defineCommand('px', {
    help: 'Run statements on every engine',
    async action(text) {
      this.clearBufferedCommand()
      const results: Results = new Map()
      const stopHeeding = heedInterrupts(this, mesh, results)
      try {
        await onEngines(mesh, text, results)
      } catch (error) {
        process.stdout.write(`${said(error)}\n`)
      }
      stopHeeding()
      this.displayPrompt()
    }
  })
  const history = process.env.SHOAL_HISTORY ?? join(homedir(), '.shoal_history')
  // Who cannot keep a history can still work.
  if (isTerminal && history !== '') server.setupHistory(history, () => {})
  if (input instanceof PassThrough) await readTo(server, input)
  await ended.promise
}

/** Node's own completion knows what a whole line begins with only: not what comes after `await`, `=` or a parenthesis. */
function completeAnywhere(server: REPLServer): void {
  const complete = server.completer as AsyncCompleter
  const completer: AsyncCompleter = (line, done) => complete.call(server, lastExpression(line), done)
  Object.assign(server, { completer })
}

/** The end of a line that completion can work on: a command, or names with dots between them. */
export function lastExpression(line: string): string {
  if (/^\s*\.\w*$/.test(line)) return line
  const isInText = /(require|import)\s*\(\s*['"`][^'"`]*$/.test(line)
  return isInText ? line : (/[\w$]+(\??\.[\w$]+)*(\??\.)?$/.exec(line)?.[0] ?? line)
}

/**
 * Until the returned function is called, Ctrl-C interrupts the engines whose results are not there, and the second one gives
 * them up.
 */
function heedInterrupts(server: REPLServer, mesh: shoal.Client, results: Results): () => void {
  const others = server.listeners('SIGINT') as (() => void)[]
  let isSecond = false
  const interrupt = (): void => {
    const open = [...results].filter(([, result]) => !result.ready)
    if (isSecond) for (const [, result] of open) result.abort().catch(() => {})
    else
      for (const [engine] of open)
        mesh
          .view(engine)
          .interrupt()
          .catch((error: unknown) => process.stdout.write(`${said(error)}\n`))
    isSecond = true
  }
  server.removeAllListeners('SIGINT').on('SIGINT', interrupt)
  return () => {
    server.off('SIGINT', interrupt)
    for (const other of others) server.on('SIGINT', other)
  }
}

/** A line after another, until it has ended. */
async function readTo(server: REPLServer, input: PassThrough): Promise<void> {
  let done = Promise.withResolvers<void>()
  let isOver = false
  server.once('exit', () => {
    isOver = true
    done.resolve()
  })
  const show = server.displayPrompt.bind(server)
  server.displayPrompt = (keepsCursor) => {
    show(keepsCursor)
    done.resolve()
  }
  for await (const line of createInterface({ input: process.stdin })) {
    done = Promise.withResolvers<void>()
    input.write(`${line}\n`)
    await done.promise
    if (isOver) return
  }
  input.end()
}

/** On each engine, and then what each printed and gave, engine by engine. */
async function onEngines(mesh: shoal.Client, statements: string, results: Results): Promise<void> {
  const engines = await mesh.engines()
  if (engines.length === 0)
    throw new shoal.ShoalError('SHOAL_NOT_FOUND', 'there is no engine; start a node with slots')
  for (const { id } of engines) results.set(id, mesh.view(id).execute(statements))
  for (const [id, result] of results) {
    const name = shortName(id)
    const text = await result.then(
      (value) => (value === undefined ? '' : `${inspect(value, { colors: process.stdout.isTTY })}\n`),
      (error: unknown) => `${said(error)}\n`
    )
    const printed = [...result.stdout, ...result.stderr].join('')
    if (printed + text !== '')
      process.stdout.write(`[${name}] ${(printed + text).trimEnd().replaceAll('\n', '\n  ')}\n`)
  }
}

const said = (error: unknown): string =>
  error instanceof Error ? `${error.name}: ${error.message}` : inspect(error)

/** The end of a node's id tells it from others; all ids begin alike. */
const shortName = (engine: string): string => engine.replace(/^.*(.{6}\/\d+)$/, '$1')
