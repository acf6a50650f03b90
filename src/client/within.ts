/**
 * The client of the tasks of one engine: its entry is the node that the engine belongs to, and its jobs belong to the task
 * that submits them.
 *
 * Not here: what a client is (client.ts), how an engine gives its slot away (tasks/executor), and the node's end (node/guests.ts).
 * A job within a task is named by the task and its place among the jobs of that: an attempt that follows a lost one submits
 * under the same names, and what the lost one left running is forgotten for it. It is done anew all the same, as an attempt may
 * decide otherwise than the one before. A shard stored anew counts its attempts from one again, and might be taken for the
 * earlier one: so its tasks give other names.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ShoalError } from '../errors.ts'
import type { JobId } from '../ids.ts'
import { type Context, origin } from '../tasks/executor/context.ts'
import type { Port } from '../tasks/executor/engine.ts'
import { ear } from '../tasks/executor/guest.ts'
import { loadedFrom, plainExport } from '../tasks/executor/plain.ts'
import { depthMax } from '../tasks/messages.ts'
import type { OpenCall } from './answers.ts'
import { Calls } from './calls.ts'
import { MeshClient } from './client.ts'
import {
  finish,
  isModuleFunction,
  type ModuleFunction,
  type PlainFunction,
  type Shipped,
  ship
} from './functions.ts'
import type { LineEvents } from './line.ts'
import { firstEpoch, type Gate, type Nest, type Owner } from './nest.ts'
import { PortLine } from './port-line.ts'

const pass: Gate = (promise) => promise

/** There is one in each engine. */
export class EngineClient extends MeshClient {
  constructor(port: Port) {
    const openLine = (events: LineEvents): PortLine => {
      const line = new PortLine((saying) => port.post(saying), events)
      ear.hear = (told) => line.hear(told)
      return line
    }
    const calls = new Calls(async () => (await this.ask<readonly OpenCall[]>('calls')).value)
    super(openLine, '', { nest: () => nest(calls), gate: gateHere, owner, around, ship: shipWithin })
  }

  /** It ends with its engine. */
  override async close(): Promise<void> {}
}

function nest(calls: Calls): Nest {
  const context = origin.getStore()
  if (context === undefined || context.isOver)
    throw new ShoalError('SHOAL_NO_TASK', 'the task has ended; what it submits must be submitted before')
  const depth = context.depth + 1
  if (depth > depthMax)
    throw new ShoalError(
      'SHOAL_TOO_DEEP',
      `jobs are nested at most ${depthMax} deep; let an outer task do more`
    )
  const { priority, submitter } = context
  return {
    job: nameOf(context.place, context.jobs++),
    epoch: firstEpoch(context.attempt, context.seat),
    depth,
    priority,
    submitter,
    around: context.engines,
    parent: context.parent,
    gate: (promise) => context.wait(promise),
    yields: () => context.yields(),
    owns: (job, targets) => {
      context.whenOver(() => job.abandon(ended(job.id)))
      if (targets.length > 0) calls.watch(job)
    }
  }
}

const ended = (job: JobId): ShoalError =>
  new ShoalError('SHOAL_CANCELLED', `the task that submitted job ${job} has ended`)

const around = (): readonly string[] => origin.getStore()?.engines ?? []

function owner(): Owner {
  const context = origin.getStore()
  if (context === undefined || context.isOver)
    throw new ShoalError('SHOAL_NO_TASK', 'the task has ended; what it holds and waits for ends with it')
  return context
}

function gateHere(): Gate {
  const context = origin.getStore()
  return context === undefined ? pass : (promise) => context.wait(promise)
}

const nameOf = (place: string, nth: number): JobId =>
  createHash('sha256').update(`${place} ${nth}`).digest('base64url').slice(0, 16) as JobId

/** An export of the module that the task itself is from travels as that module, with all that it needs. */
async function shipWithin(
  fn: PlainFunction | ModuleFunction,
  scope?: Record<string, unknown>
): Promise<Shipped> {
  const context = origin.getStore()
  const own = context === undefined || scope !== undefined ? undefined : await ownExport(context, fn)
  if (context === undefined || own === undefined) return ship(fn, scope)
  return finish(
    await readFile(context.file),
    own,
    own === 'default' || own === plainExport ? (fn as PlainFunction).name || 'anonymous' : own
  )
}

async function ownExport({ file }: Context, fn: PlainFunction | ModuleFunction): Promise<string | undefined> {
  if (isModuleFunction(fn))
    return resolve(fn.file) === resolve(file) && fn.each === undefined ? fn.exportName : undefined
  const plain = loadedFrom(file)
  // Not imported, where it would stay.
  if (plain !== undefined) return plain === fn ? plainExport : undefined
  const module = (await import(pathToFileURL(file).href)) as Record<string, unknown>
  return Object.keys(module).find((name) => module[name] === fn)
}
