/**
 * `shoal run`: a program over inputs, any program, with the files that it needs and those that it makes.
 *
 * Not here: the program as a job (src/client/programs.ts), its results (program-results.ts), what was done before (ledger.ts).
 * Whatever can be wrong on this machine is found before the mesh is bothered.
 */
import { onlyWhereAllowed, type ProgramOptions, planProgram } from '../../src/client/programs.ts'
import type { Client } from '../../src/client/types.ts'
import { requirementOf } from '../../src/routing/requirement.ts'
import { programsLabel } from '../../src/tasks/executor/program.ts'
import { insideName } from '../../src/tasks/executor/template.ts'
import {
  given,
  integer,
  milliseconds,
  type Operand,
  pairs,
  readArguments,
  readRequires,
  wholeNumber
} from '../arguments.ts'
import type { Command } from '../command.ts'
import { EXIT, usageError } from '../failure.ts'
import { Harvest, type Inputs } from '../harvest.ts'
import { readInputs } from '../inputs.ts'
import { interruption } from '../interruption.ts'
import { Ledger, ledgerFile } from '../ledger.ts'
import { findKey, meshFlags, meshUsage, reachMesh } from '../mesh.ts'
import { plain } from '../output.ts'
import { whyNobody } from './explain.ts'

const flags = {
  ...meshFlags,
  each: { type: 'string', multiple: true },
  file: { type: 'string', multiple: true },
  out: { type: 'string', multiple: true },
  into: { type: 'string', default: '.' },
  env: { type: 'string', multiple: true },
  stdin: { type: 'string' },
  stdout: { type: 'string' },
  shell: { type: 'boolean', default: false },
  resume: { type: 'boolean', default: false },
  name: { type: 'string' },
  retries: { type: 'string' },
  'task-timeout': { type: 'string' },
  priority: { type: 'string' },
  requires: { type: 'string' },
  'kill-after': { type: 'string' },
  'keep-going': { type: 'boolean', default: true },
  progress: { type: 'boolean' },
  verbose: { type: 'boolean', short: 'v', default: false }
} as const

export const run: Command = {
  usage: `usage: shoal run [--each GLOB|-] [--file F]... [--out F]... [FLAGS] -- COMMAND ARG...

Runs a program on nodes that allow it (shoal up --allow-run), each time in a fresh folder: once, or once for each input.
Prints what the programs print, in the order of the inputs: stdout to stdout, stderr to stderr.
A program that ends with another exit code than 0 has failed: that is told on stderr, and the exit code is 1. Ctrl-C cancels.

  --each GLOB        inputs are the files that match (quoted, or as the shell expands it); each goes along with its task
  --each -           inputs are the lines of stdin, which are texts; with --file {} they name files
  --file F           a file that goes along, repeatable: with {} one for each input, else for all
  --out F            a file or folder that the program makes and that comes back, repeatable; links in it are followed, and
                     what cannot come back, like a pipe, is told on stderr
  --into FOLDER      where outputs are put (default: here)
  --env K=V          a variable of its environment, repeatable
  --stdin F          a file that goes along, as the program's stdin (default: nothing)
  --stdout F         its stdout goes to this file, which comes back as an output; of a program that failed, its end is
                     printed instead
  --shell            COMMAND ARG... are a line for /bin/sh
  --resume           leaves out inputs of --each that succeeded before, as FOLDER/${ledgerFile} tells, and prints what they had
                     printed; one that printed more than 1 MiB to stdout is done again, as only --stdout keeps that
  --name NAME        for people, in \`shoal jobs\` (default: the command)
  --retries N        further runs of a program that failed (default 0)
  --task-timeout S   seconds that one run may take (default: no end)
  --priority N       higher runs earlier (default 0)
  --requires JSON    what a node must have, like '{"labels":{"cuda":true},"resources":{"gpu":1}}'
  --kill-after S     seconds between TERM and KILL for a program that is ended (default 5)
  --no-keep-going    cancels the rest as soon as one has failed
  -v, --verbose      tells on stderr what programs print as they print it, each line with its input before it; on a
                     terminal nothing is printed twice. Of an attempt that is tried again, its words may be missing
  --progress         tells how far the job is, also if stderr is no terminal
  --json             results as one object: {"job","results":[{"input","exitCode","stdout","stderr","files","written"}],"errors":[...]};
                     an error of a program that ended badly, or was ended by a limit, has "exitCode","signal","stdout",
                     "stderr", the end of each, 8 Ki characters; "job" is null if nothing was left to do;
                     one without "index" ended the command

  In the command, its arguments, and F: {} is the input, {/} its last part, {.} without extension, {/.} both, {//} its
  folder, {#} its number from 1. If the command has none of them, the input becomes its last argument.
${meshUsage}`,
  async run(args) {
    const { values, operands } = readArguments('run', args, flags)
    const [command, ...words] = operands.flatMap(({ text, isLiteral }) => (isLiteral ? [text] : []))
    if (command === undefined) throw usageError('which command? `shoal run [FLAGS] -- COMMAND ARG...`')
    const each = await inputsOf(values.each, operands)
    if (values.resume && each === undefined)
      throw usageError('--resume leaves out inputs that succeeded before, and there are none; add --each')
    const program: ProgramOptions = {
      command,
      args: words,
      shell: values.shell,
      files: filesOf(values, Array.isArray(each)),
      outputs: values.out ?? [],
      ...given({
        stdin: values.stdin === undefined ? undefined : { file: insideName(values.stdin) ?? values.stdin },
        stdout: values.stdout,
        env: pairs('--env', values.env),
        name: values.name,
        retries: wholeNumber('--retries', values.retries),
        timeout: milliseconds('--task-timeout', values['task-timeout']),
        priority: integer('--priority', values.priority),
        requires: readRequires(values.requires),
        killAfter: milliseconds('--kill-after', values['kill-after'])
      })
    }
    await planProgram({ ...program, ...given({ each }) }).check()
    await findKey(values.key)
    const isWanted = values.resume || values.out !== undefined || values.stdout !== undefined
    const asked = { isResumed: values.resume, isWanted }
    const ledger = each === undefined ? undefined : await Ledger.open(values.into, program, asked)
    const signal = interruption()
    try {
      const client = await reachMesh(values, signal)
      try {
        const warning = warnIfNobody(client, program)
        const code = await new Harvest({ client, program, ledger, values }).bring(each, signal)
        await warning
        return signal.aborted ? EXIT.failed : code
      } finally {
        await client.close()
      }
    } finally {
      await ledger?.close()
    }
  }
}

/** Files as a list, lines of stdin as they come; `undefined` for a single run. */
async function inputsOf(
  each: readonly string[] | undefined,
  operands: readonly Operand[]
): Promise<Inputs | undefined> {
  // A pattern that the shell expanded: all but its first file follow as operands.
  const more = operands.filter(({ isLiteral }) => !isLiteral)
  if (each === undefined) {
    if (more.length === 0) return undefined
    throw usageError(`the command comes after --: \`shoal run -- ${more.map(({ text }) => text).join(' ')}\``)
  }
  const all = [...each.map((text) => ({ text, isLiteral: false })), ...more]
  if (all.length > 1 && all.some(({ text }) => text === '-'))
    throw usageError('--each - is the lines of stdin, and takes no other inputs beside it')
  return (await readInputs(all, false, process.stdin)) as Inputs
}

/** What goes along: what was named, inputs that are files, and what is to be stdin. Each once. */
function filesOf(
  {
    file = [],
    stdin
  }: { readonly file?: readonly string[] | undefined; readonly stdin?: string | undefined },
  areFiles: boolean
): string[] {
  return [...new Set([...file, ...(areFiles ? ['{}'] : []), ...(stdin === undefined ? [] : [stdin])])]
}

/** Who waits should know for what. */
async function warnIfNobody(client: Client, { requires }: ProgramOptions): Promise<void> {
  const members = await client.members().catch(() => [])
  const reasons = whyNobody(members, requirementOf(onlyWhereAllowed(requires ?? {})))
  if (reasons === undefined) return
  const why = members.some(({ slots, labels }) => slots > 0 && programsLabel in labels)
    ? `can run this (${plain(reasons)}); \`shoal status\` tells what each has`
    : 'runs programs; start one with `shoal up --allow-run`'
  process.stderr.write(`no node that is up ${why}. Waiting.\n`)
}
