/**
 * The command: from arguments to one of the files in commands/, and from what that returns or throws to an exit code.
 *
 * Not here: what any command does, its flags (arguments.ts), its tables (output.ts).
 * Commands are loaded when they are named, so that `shoal help` does not start a network.
 */
import { ShoalError } from '../src/errors.ts'
import { VERSION } from '../src/version.ts'
import { nearest } from './arguments.ts'
import type { Command } from './command.ts'
import { errorLine, exitCodeOf, usageError } from './failure.ts'

const commands: Readonly<Record<string, { readonly about: string; readonly load: () => Promise<Command> }>> =
  {
    init: {
      about: 'make the key of a new mesh',
      load: async () => (await import('./commands/init.ts')).init
    },
    up: {
      about: 'run a node until Ctrl-C',
      load: async () => (await import('./commands/up.ts')).up
    },
    status: {
      about: 'show the nodes and what waits',
      load: async () => (await import('./commands/status.ts')).status
    },
    map: {
      about: "run a module's function over inputs",
      load: async () => (await import('./commands/map.ts')).map
    },
    run: {
      about: 'run a program over inputs, with its files',
      load: async () => (await import('./commands/run.ts')).run
    },
    jobs: {
      about: 'list jobs, newest first',
      load: async () => (await import('./commands/jobs.ts')).jobs
    },
    result: {
      about: 'print the results of a job, also while it runs',
      load: async () => (await import('./commands/result.ts')).result
    },
    watch: {
      about: 'tell how far a job is, until it has ended',
      load: async () => (await import('./commands/watch.ts')).watch
    },
    cancel: {
      about: 'cancel what is left of a job',
      load: async () => (await import('./commands/cancel.ts')).cancel
    },
    source: {
      about: 'read a live stream that a node offers',
      load: async () => (await import('./commands/source.ts')).source
    },
    explain: {
      about: 'say why a task does not run',
      load: async () => (await import('./commands/explain.ts')).explain
    },
    repl: {
      about: 'a prompt with the mesh at hand',
      load: async () => (await import('./commands/repl.ts')).repl
    },
    drain: {
      about: 'let a node hand over what it has, and stop',
      load: async () => (await import('./commands/drain.ts')).drain
    }
  }

function overview(): string {
  const lines = Object.entries(commands).map(([name, { about }]) => `  ${name.padEnd(8)} ${about}`)
  return `shoal ${VERSION}: a peer-to-peer compute mesh

usage: shoal COMMAND [FLAGS]

${lines.join('\n')}
  help     shoal help COMMAND tells all about one of them

A mesh begins like this:
  shoal init lab.key
  shoal up                          (on every machine, with a copy of lab.key)
  shoal map work.ts one two three   (work.ts: export default (input) => ...)

exit codes: 0 done, 1 some task failed, 2 wrong usage, 3 no mesh reached
`
}

async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === '--version' || name === '-v' || name === 'version') return print(`${VERSION}\n`)
  const isHelp = name === undefined || name === 'help' || name === '--help' || name === '-h'
  const asked = isHelp ? args[0] : name
  if (asked === undefined) {
    if (name !== undefined) return print(overview())
    process.stderr.write(overview())
    return 2
  }
  const command = Object.hasOwn(commands, asked) ? commands[asked] : undefined
  if (command === undefined) throw unknown(asked)
  const { usage, run } = await command.load()
  return isHelp || asksForHelp(args) ? print(usage) : await run(args)
}

function unknown(name: string): Error {
  const names = Object.keys(commands)
  const near = nearest(name, names)
  const advice = near === undefined ? `there are ${names.join(', ')}` : `did you mean \`shoal ${near}\`?`
  return usageError(`there is no command ${JSON.stringify(name)}; ${advice}`)
}

function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--')
  return (end < 0 ? args : args.slice(0, end)).some((arg) => arg === '--help' || arg === '-h')
}

function print(text: string): number {
  process.stdout.write(text)
  return 0
}

// Who reads notes may leave: a node goes on without readers.
process.stderr.on('error', () => {})
process.stdout.on('error', (cause: NodeJS.ErrnoException) => {
  // Results have a listener of their own, which ends the job first; the rest is not worth going on for.
  if (process.stdout.listenerCount('error') > 1) return
  const what = `stdout cannot be written (${cause.message}); make room, then try again`
  const error = new ShoalError('SHOAL_DISK', what, { cause })
  if (cause.code !== 'EPIPE') process.stderr.write(`${errorLine(error)}\n`)
  process.exit(exitCodeOf(error))
})

let code: number
try {
  code = await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`${errorLine(error)}\n`)
  code = exitCodeOf(error)
}
// Whatever was opened and is still waited for (stdin, for one) must not hold the process, and nothing printed may be lost.
await new Promise((resolve) => process.stdout.write('', resolve))
process.exit(code)
