/**
 * `shoal map`: one task for each input, by a function of a module.
 *
 * Not here: packing the module (src/client/functions.ts), inputs (inputs.ts), results (results.ts).
 * Everything that can be wrong on this machine is found before the mesh is bothered.
 */
import { existsSync, statSync } from 'node:fs'
import { type ModuleFunction, moduleFunction, ship } from '../../src/client/functions.ts'
import { checkMapOptions } from '../../src/client/options.ts'
import type { Client, JobHandle, MapOptions } from '../../src/client/types.ts'
import { ShoalError } from '../../src/errors.ts'
import { requirementOf } from '../../src/routing/requirement.ts'
import {
  given,
  integer,
  milliseconds,
  type Operand,
  readArguments,
  readRequires,
  wholeNumber
} from '../arguments.ts'
import type { Command } from '../command.ts'
import { EXIT, usageError } from '../failure.ts'
import { type Inputs, readInputs } from '../inputs.ts'
import { giveUp, interruption } from '../interruption.ts'
import { findKey, meshFlags, meshUsage, reachMesh } from '../mesh.ts'
import { wholeTargets } from '../nodes.ts'
import { plain } from '../output.ts'
import { deliver, type Outlet, openOutlet, type ResultValues, resultFlags } from '../results.ts'
import { whyNobody } from './explain.ts'

const flags = {
  ...meshFlags,
  ...resultFlags,
  detach: { type: 'boolean', default: false },
  name: { type: 'string' },
  retries: { type: 'string' },
  'task-timeout': { type: 'string' },
  'queue-timeout': { type: 'string' },
  priority: { type: 'string' },
  requires: { type: 'string' },
  target: { type: 'string', multiple: true },
  'keep-going': { type: 'boolean', default: true }
} as const

/** Lines of stdin that were read and whose results were not printed; enough that a mesh is kept busy by small tasks. */
const linesAheadMax = 4_096

export const map: Command = {
  usage: `usage: shoal map FILE[#EXPORT] INPUT... [FLAGS]

Runs a function of the module FILE (its default export, or EXPORT) once for each input, anywhere in the mesh.
Prints the results in input order, one line each: strings as they are, everything else as JSON.
An INPUT is a text; a glob (quoted) stands for the files that it matches; - stands for the lines of stdin, read as they are
needed; what comes after -- is taken as it is. Failed tasks are told on stderr, and the exit code is 1. Ctrl-C cancels the job.

  --json-lines       every input is JSON (no globs), and every result is printed as one line of JSON;
                     failed tasks have no line
  --json             results as one object: {"job","results":[...],"errors":[{"index","code","name","message"}]};
                     the result of a failed task is null, and so is the job if there were no inputs
  --out FILE         writes results to FILE instead, which is replaced when all are there
  --detach           prints the id of the job once the mesh holds it safely, and leaves; see \`shoal result\`.
                     Without any input there is no job, and the exit code is 2
  --name NAME        for people, in \`shoal jobs\` (default: the export or the file)
  --retries N        further runs of a task that failed (default 0)
  --task-timeout S   seconds that one run may take (default: no end)
  --queue-timeout S  seconds that a task may wait to be begun (default: no end)
  --priority N       higher runs earlier (default 0)
  --requires JSON    what a node must have, like '{"labels":{"gpu":true},"resources":{"gpu":1}}'
  --target ID        a node, or an engine (ID/SLOT), that must run it; one of them, if repeated. Of a node that is up the
                     end of its id is enough, as \`shoal status\` shows it
  --no-keep-going    cancels the rest as soon as a task has failed
  -v, --verbose      tells on stderr what tasks print, each line with the number of its input
  --progress         tells how far the job is, also if stderr is no terminal
${meshUsage}`,
  async run(args) {
    const { values, operands } = readArguments('map', args, flags)
    const [file, ...rest] = operands
    if (file === undefined) throw usageError('which function? `shoal map FILE[#EXPORT] INPUT...`')
    const options = given({
      name: values.name,
      retries: wholeNumber('--retries', values.retries),
      timeout: milliseconds('--task-timeout', values['task-timeout']),
      queueTimeout: milliseconds('--queue-timeout', values['queue-timeout']),
      priority: integer('--priority', values.priority),
      requires: readRequires(values.requires)
    })
    checkMapOptions(options)
    if (values.detach) refuseToStay(values)
    const out = values.out
    await findKey(values.key)
    const fn = await findFunction(file)
    const inputs = await readInputs(rest, values['json-lines'], process.stdin)
    const signal = interruption()
    const outlet = await openOutlet(values.detach ? undefined : out)
    let isComplete = false
    try {
      const client = await reachMesh(values, signal)
      try {
        const targets = await wholeTargets(client, values.target)
        const work = { client, fn, inputs, options: { ...options, ...given({ targets }) }, signal }
        const code = values.detach ? await leave(work, values.json) : await stay(work, outlet, values)
        isComplete = !signal.aborted
        if (isComplete) await outlet.finish()
        return code
      } finally {
        await client.close()
      }
    } finally {
      if (!isComplete) await outlet.drop()
    }
  }
}

/** Who leaves has nothing to do with results. */
function refuseToStay(values: {
  readonly out?: string | undefined
  readonly progress?: boolean | undefined
  readonly verbose: boolean
  readonly 'keep-going': boolean
}): void {
  const { out, verbose, progress } = values
  const early = Object.entries({ out, verbose, progress }).find(([, value]) => value)?.[0]
  if (early !== undefined)
    throw usageError(
      `--detach leaves before there is anything for --${early}; leave one of them out, or give it to \`shoal result ID\``
    )
  if (!values['keep-going'])
    throw usageError(
      '--detach leaves before a task can fail, and --no-keep-going waits for that; leave one out'
    )
}

/** `FILE#EXPORT`, unless there is a file of that very name. Rejects with SHOAL_BAD_FUNCTION if it cannot travel. */
async function findFunction({ text }: Operand): Promise<ModuleFunction> {
  const at = existsSync(text) ? -1 : text.lastIndexOf('#')
  const file = at < 0 ? text : text.slice(0, at)
  if (!existsSync(file) || statSync(file).isDirectory()) {
    const advice = 'give the path of a module, like ./work.ts, or ./work.ts#render for its export `render`'
    throw new ShoalError('SHOAL_BAD_FUNCTION', `there is no file ${file}; ${advice}`)
  }
  const fn = at < 0 ? moduleFunction(file) : moduleFunction(file, text.slice(at + 1))
  await ship(fn)
  return fn
}

interface Work {
  readonly client: Client
  readonly fn: ModuleFunction
  readonly inputs: Inputs
  readonly options: MapOptions
  readonly signal: AbortSignal
}

/** Prints results as they come. */
async function stay(
  { client, fn, inputs, options, signal }: Work,
  outlet: Outlet,
  values: ResultValues & { readonly 'keep-going': boolean }
): Promise<number> {
  const ahead = Array.isArray(inputs) ? {} : { inFlightMax: linesAheadMax }
  const job = client.map(fn, inputs, { ...options, ...ahead, returnErrors: true })
  cancelOnAbort(job, signal)
  if (!values['keep-going']) job.onProgress(({ failed }) => failed > 0 && giveUp(job))
  const warning = warnIfNobody(client, job, options)
  const code = await deliver(job, { outlet, values, onBroken: () => giveUp(job) })
  await warning
  return signal.aborted || outlet.isBroken ? EXIT.failed : code
}

/** Leaves the job to the mesh as soon as that has all of it. */
async function leave({ client, fn, inputs, options, signal }: Work, isJson: boolean): Promise<number> {
  const { promise: isRead, resolve } = Promise.withResolvers<void>()
  const all = Array.isArray(inputs) ? inputs : noted(inputs as AsyncIterable<unknown>, resolve)
  if (all === inputs) resolve()
  // Nobody takes results down here, so that they must not hold inputs back.
  const job = client.map(fn, all, {
    ...options,
    returnErrors: true,
    inFlightMax: Number.MAX_SAFE_INTEGER
  })
  cancelOnAbort(job, signal)
  // A job can end before its inputs do, if it fails or is cancelled.
  await Promise.race([isRead, job])
  await job.accepted
  // Such a job never leaves the client, and nobody would know its id.
  if (job.progress.total === 0 && !signal.aborted)
    throw usageError('there were no inputs, so that there is no job; nothing was submitted')
  await warnIfNobody(client, job, options)
  process.stdout.write(isJson ? `${JSON.stringify({ job: job.id })}\n` : `${job.id}\n`)
  return EXIT.done
}

/** Who waits should know for what. */
async function warnIfNobody(
  client: Client,
  { id }: JobHandle<unknown>,
  { requires, targets }: MapOptions
): Promise<void> {
  const members = await client.members().catch(() => [])
  const reasons = whyNobody(members, requirementOf(requires ?? {}, targets))
  if (reasons === undefined) return
  const told = `no node that is up can run job ${id} (${plain(reasons)})`
  process.stderr.write(`${told}; \`shoal explain ${id}\` tells more. Waiting.\n`)
}

/** Calls `onEnd` when the inputs have ended, in whatever way. */
async function* noted(
  inputs: AsyncIterable<unknown>,
  onEnd: () => void
): AsyncGenerator<unknown, void, undefined> {
  try {
    yield* inputs
  } finally {
    onEnd()
  }
}

function cancelOnAbort(job: JobHandle<unknown>, signal: AbortSignal): void {
  const cancel = (): void => giveUp(job)
  if (signal.aborted) cancel()
  else signal.addEventListener('abort', cancel, { once: true })
}
