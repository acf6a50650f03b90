/**
 * What jobs of a task take over from it, and how deep they may lie.
 *
 * Not here: tasks that run (test/conformance/nested.test.ts).
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test, vi } from 'vitest'
import { clientMessages, entryMessages } from '../../src/client/protocol.ts'
import { EngineClient } from '../../src/client/within.ts'
import type { JobId, PeerId, ShardKey } from '../../src/ids.ts'
import { Context, origin } from '../../src/tasks/executor/context.ts'
import type { Port } from '../../src/tasks/executor/engine.ts'
import { ear } from '../../src/tasks/executor/guest.ts'
import { loadPlain, plainText } from '../../src/tasks/executor/plain.ts'
import type { FromWorker, RunOrder } from '../../src/tasks/executor/protocol.ts'
import { depthMax, type JobHeader } from '../../src/tasks/messages.ts'

const nested = fileURLToPath(new URL('../conformance/nested.ts', import.meta.url))
const said: FromWorker[] = []
let onSubmit = (_job: JobId, _epoch: number, _header: JobHeader): void => {}
const port = {
  slot: 0,
  engine: 'node/0',
  post: (message: FromWorker) => {
    said.push(message)
    for (const part of message.kind === 'says' ? message.parts : []) {
      const told = clientMessages.parse(part)
      if (told.kind === 'submit') onSubmit(told.header.job, told.epoch, told.header)
    }
  }
} as unknown as Port
const client = new EngineClient(port)

function within<T>(
  { depth = 0, attempt = 1, seat = 0, index = 0, epoch = 0, file = nested },
  act: (context: Context) => T
): T {
  const none = new Uint8Array()
  const key = `job-of-test/0/${epoch}` as ShardKey
  const place = { key, keepers: ['ada' as PeerId], first: 100, indexes: Uint32Array.of(index) }
  const job = {
    exportName: 'default',
    timeoutMs: 0,
    depth,
    priority: 0,
    submitter: 'ann',
    around: ['outer/1'],
    file,
    dataFolder: '',
    wallZero: 0
  }
  const batch = { claims: none, ends: new Uint32Array(), body: none }
  const order: RunOrder = { kind: 'run', run: 1, attempt, seat, ...place, ...job, ...batch }
  const context = new Context(order, 0, port, 0)
  return origin.run(context, () => act(context))
}

test('a job has the same name at each attempt, and another than its neighbours', () => {
  const names = (attempt: number, index: number): string[] =>
    within({ attempt, index }, () => [client.map((x) => x, []).id, client.map((x) => x, []).id])
  expect(names(2, 0)).toEqual(names(1, 0))
  expect(new Set([...names(1, 0), ...names(1, 1)]).size).toBe(4)
})

test('a job says where it is heard how its task ends', async () => {
  const { promise, resolve } = Promise.withResolvers<JobHeader>()
  onSubmit = (_, __, header) => resolve(header)
  within({ index: 5, epoch: 16 }, () => void client.map((x) => x, [1]))
  const { depth, parent } = await promise
  expect(depth).toBe(1)
  expect(parent).toEqual([{ key: 'job-of-test/0/16', keepers: ['ada'], index: 5 }])
})

test('the first attempt in a shard that was stored anew is not taken for an earlier one than the second in the old shard', () => {
  const name = (epoch: number, attempt: number): string =>
    within({ epoch, attempt }, () => client.map((x) => x, []).id)
  expect(name(240, 1)).not.toBe(name(0, 2))
})

test('jobs that would lie too deep are refused', () => {
  const submit = () => client.submit(() => 1)
  expect(() => within({ depth: depthMax }, submit)).toThrow(
    expect.objectContaining({ code: 'SHOAL_TOO_DEEP' })
  )
  within({ depth: depthMax - 1 }, submit).catch(() => {})
})

test('a task that has ended submits nothing more', () => {
  const late = within({}, (context) => {
    context.end()
    return () => origin.run(context, () => client.submit(() => 1))
  })
  expect(late).toThrow(expect.objectContaining({ code: 'SHOAL_NO_TASK' }))
})

test('a task whose job another attempt of it has submitted anew is given back', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { id } = within({ index: 9 }, () => client.map((x) => x, [1]))
  onSubmit = (job) => {
    if (job === id) resolve()
  }
  await promise
  said.length = 0
  ear.hear?.({ kind: 'told', parts: [entryMessages.encode({ kind: 'superseded', job: id as JobId })] })
  expect(said).toEqual([{ kind: 'yields', run: 1, position: 0 }])
})

test('what two owners let the same attempt submit, each on its side of a split, is not taken for one shard', async () => {
  const epochs: number[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  onSubmit = (_, epoch) => {
    if (epochs.push(epoch) === 3) resolve()
  }
  for (const owned of [{ seat: 0 }, { seat: 1 }, { attempt: 2 }])
    within({ index: 7, ...owned }, () => void new EngineClient(port).map((x) => x, [1]))
  await promise
  expect(epochs).toEqual(epochs.toSorted((a, b) => a - b))
  expect(new Set(epochs).size).toBe(3)
})

test('a plain function that submits another one is not imported for it, where it would stay for good', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-within-'))
  try {
    const file = join(folder, 'plain.mjs')
    const made: unknown[] = []
    vi.stubGlobal('made', made)
    await writeFile(file, plainText('made.push(1)\nreturn () => 1\n'))
    loadPlain(file)
    const { promise, resolve } = Promise.withResolvers<void>()
    onSubmit = () => resolve()
    within({ index: 11, file }, () => void client.map((x) => x, [1]))
    await promise
    expect(made).toHaveLength(1)
  } finally {
    vi.unstubAllGlobals()
    await rm(folder, { recursive: true })
  }
})
