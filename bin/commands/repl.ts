/**
 * `shoal repl`: a prompt of Node.js at which the mesh is at hand.
 *
 * Not here: views (src/client/views). A line from a pipe is read when the one before has been done, so that scripts of lines
 * do what people at a terminal would see.
 */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type REPLServer, start } from 'node:repl'
import { PassThrough } from 'node:stream'
import { inspect } from 'node:util'
import * as shoal from '../../src/index.ts'
import { readArguments, refuseOperands } from '../arguments.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../failure.ts'
import { meshFlags, meshUsage, reachMesh } from '../mesh.ts'

const { json: _, ...flags } = meshFlags

export const repl: Command = {
  usage: `usage: shoal repl [FLAGS]

A prompt of Node.js with the mesh at hand: \`mesh\` (what connect() gives), \`view\` (all engines), \`shoal\` (the module).
\`await\` works. A line that begins with .px runs on every engine, in the engine's own namespace, and shows what each
printed and gave; in code, that is \`await px('…')\`. History is kept in ~/.shoal_history ($SHOAL_HISTORY, empty for none).

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
    ignoreUndefined: true
  })
  server.on('exit', () => ended.resolve())
  const px = (statements: string): Promise<void> => onEngines(mesh, statements)
  Object.assign(server.context, { mesh, view: mesh.view('all'), shoal, px })
  server.defineCommand('px', {
    help: 'Run statements on every engine',
    async action(text) {
      this.clearBufferedCommand()
      try {
        await px(text)
      } catch (error) {
        process.stdout.write(`${said(error)}\n`)
      }
      this.displayPrompt()
    }
  })
  const history = process.env.SHOAL_HISTORY ?? join(homedir(), '.shoal_history')
  // Who cannot keep a history can still work.
  if (isTerminal && history !== '') server.setupHistory(history, () => {})
  if (input instanceof PassThrough) await readTo(server, input)
  await ended.promise
}

/** A line after another. */
async function readTo(server: REPLServer, input: PassThrough): Promise<void> {
  let done = Promise.withResolvers<void>()
  const show = server.displayPrompt.bind(server)
  server.displayPrompt = (keepsCursor) => {
    show(keepsCursor)
    done.resolve()
  }
  for await (const line of createInterface({ input: process.stdin })) {
    done = Promise.withResolvers<void>()
    input.write(`${line}\n`)
    await Promise.race([done.promise, new Promise((resolve) => server.once('exit', resolve))])
  }
  input.end()
}

/** On each engine, and then what each printed and gave, engine by engine. */
async function onEngines(mesh: shoal.Client, statements: string): Promise<void> {
  const engines = await mesh.engines()
  if (engines.length === 0)
    throw new shoal.ShoalError('SHOAL_NOT_FOUND', 'there is no engine; start a node with slots')
  const results = engines.map(({ id }) => mesh.view(id).execute(statements))
  for (const [at, result] of results.entries()) {
    const name = shortName(engines[at]?.id ?? '')
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
