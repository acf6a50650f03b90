/**
 * What the tests of programs share: an executor with real processes, and what it tells of their runs.
 *
 * Not here: any expectation about programs.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect } from 'vitest'
import { makeRef, type Ref } from '../../../src/data/ref.ts'
import type { RemoteFailure } from '../../../src/errors.ts'
import { type Digest, dataId, type ShardKey } from '../../../src/ids.ts'
import {
  OUTCOME_HEADER_BYTES,
  type OutcomeHeader,
  pack,
  readOutcomeHeader,
  STATUS,
  valueAt
} from '../../../src/tasks/batch.ts'
import { decodeValue } from '../../../src/tasks/executor/codec.ts'
import type { Executor, ExecutorEvent, RunBatch } from '../../../src/tasks/executor/executor.ts'
import { decodeFailure } from '../../../src/tasks/executor/failure.ts'
import type { MannersOptions } from '../../../src/tasks/executor/manners.ts'
import {
  encodeProgramInput,
  encodeRecipe,
  type ProgramInput,
  type ProgramResult,
  programExport,
  type Recipe
} from '../../../src/tasks/executor/program.ts'
import { createPrograms } from '../../../src/tasks/executor/programs.ts'
import { Scratch } from '../../../src/tasks/executor/scratch.ts'
import { type Output, silence, splitOutput } from '../../../src/tasks/output.ts'

interface Told {
  readonly index: number
  readonly status?: number
  readonly ran?: Pick<OutcomeHeader, 'startedAt' | 'elapsedMs'>
  readonly value?: ProgramResult
  readonly failure?: RemoteFailure
  readonly recalled?: boolean
  /** Of one that was cancelled. */
  readonly output?: Output
}

export let folder = ''
export let scratch: Scratch
export let executor: Executor
const runs = new Map<number, { told: Told[]; finish: (told: Told[]) => void }>()
/** The number of the last run. */
export let count = 0

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-programs-'))
})
afterAll(() => rm(folder, { recursive: true }))
afterEach(() => executor.close())

/** Opens what the test's programs run in; it is closed after the test. */
export async function open(slots = 1, manners: Partial<MannersOptions> = {}): Promise<void> {
  scratch = await Scratch.open(folder, { dataFolder: folder, keepFile })
  const code = (digest: Digest): string => join(folder, digest)
  executor = createPrograms({ slots, code, node: 'node', scratch, onEvent, ...manners })
}

/** As a node does it: a copy that is named by its content. */
export async function keepFile(path: string): Promise<Ref> {
  const content = await readFile(path)
  const id = dataId(createHash('sha256').update(content).digest('base64url'), content.byteLength)
  await copyFile(path, join(folder, id))
  return makeRef(id)
}

function onEvent(event: ExecutorEvent): void {
  const run = runs.get(event.run)
  expect(run).toBeDefined()
  if (event.kind !== 'ended' && event.kind !== 'recalled') return
  if (event.kind === 'recalled') for (const index of event.indexes) run?.told.push({ index, recalled: true })
  else
    for (const [at, index] of event.outcomes.indexes.entries()) {
      const { outcome: bytes, output } = splitOutput(valueAt(event.outcomes, at))
      const { status, startedAt, elapsedMs } = readOutcomeHeader(bytes)
      const ran = { startedAt, elapsedMs }
      const payload = bytes.subarray(OUTCOME_HEADER_BYTES)
      if (status === STATUS.ok)
        run?.told.push({ index, status, ran, value: decodeValue(payload) as ProgramResult })
      else
        run?.told.push({
          index,
          status,
          ...(status === STATUS.cancelled ? {} : { failure: decodeFailure(payload) }),
          ...(output === silence ? {} : { output })
        })
    }
  if (event.done) run?.finish(run.told)
}

const plain: Recipe = {
  command: '/bin/sh',
  args: [],
  isShell: false,
  env: [],
  files: [],
  stdinFile: '',
  stdin: new Uint8Array(),
  stdoutFile: '',
  outputs: [],
  killAfterMs: 5_000
}
export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
export const textOf = (content: Uint8Array | Ref | undefined): string =>
  content instanceof Uint8Array ? new TextDecoder().decode(content) : JSON.stringify(content)
export const file = (name: string, text: string, isExecutable = false): ProgramInput['files'][number] => ({
  name,
  isExecutable,
  content: bytesOf(text),
  data: ''
})

/** Starts a run of this recipe; resolves when all was told of it. */
export async function start(
  recipe: Partial<Recipe>,
  inputs: readonly (Partial<ProgramInput> | string)[] = [{}],
  more: Partial<RunBatch> = {}
): Promise<Told[]> {
  const run = ++count
  const code = `recipe-${run}` as Digest
  await writeFile(join(folder, code), encodeRecipe({ ...plain, ...recipe }))
  const values = inputs.map((input, at) => {
    const given = typeof input === 'string' ? { isGiven: true, text: input } : input
    return encodeProgramInput({ isGiven: false, text: '', number: at + 1, files: [], ...given })
  })
  const { promise, resolve } = Promise.withResolvers<Told[]>()
  runs.set(run, { told: [], finish: resolve })
  const rest = { slot: 0, first: 0, attempt: 1, timeoutMs: 0, exportName: programExport }
  const key = 'job-of-test/0/0' as ShardKey
  executor.run({ run, key, code, inputs: pack('', [...values.keys()], values), ...rest, ...more })
  return promise
}

export const shell = (script: string): Partial<Recipe> => ({ args: ['-c', script] })

/** Resolves with what the next writer says. */
export async function fifo(name: string): Promise<{ path: string; said: Promise<string> }> {
  const path = join(folder, name)
  execFileSync('mkfifo', [path])
  return { path, said: readFile(path, 'utf8') }
}

export function isAlive(pid: string): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ')
  } catch {
    return false
  }
}
