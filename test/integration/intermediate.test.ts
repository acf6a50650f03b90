/**
 * A large value goes from one task to the next, whatever happens to the node that made it: processes, sockets and SIGKILL.
 *
 * Not here: small values, which are outcomes like any other (graphs.test.ts), and data that was put (data.test.ts).
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { moduleFunction, type TaskHandle } from '../../src/index.ts'
import { until } from '../conformance/mesh.ts'
import { content, digest } from './intermediate.ts'
import { Lab, type NodeProcess, untilMeshed } from './processes.ts'

const work = new URL('./intermediate.ts', import.meta.url)
const bytes = 20_000_000

let lab: Lab
beforeEach(async () => {
  lab = await Lab.open()
})
afterEach(() => lab.close())

interface Scene {
  readonly producer: NodeProcess
  readonly consumer: NodeProcess
  readonly made: TaskHandle<Uint8Array>
}

const namesAt = ({ name }: NodeProcess): Promise<string[]> => readdir(join(lab.folder, name, 'data'))

test.each<[string, (scene: Scene) => Promise<unknown>]>([
  ['begins to write it down', ({ producer }) => until(async () => (await namesAt(producer)).length > 0)],
  [
    'has it, and nobody knows',
    ({ producer }) => until(async () => (await namesAt(producer)).some((name) => /^[^.]+\.\d+$/.test(name)))
  ],
  ['has told of it', ({ made }) => until(() => made.ready)],
  [
    'may be asked for it',
    // It is there in part, or on a busy machine whole before somebody looks.
    ({ consumer }) => until(async () => (await namesAt(consumer)).length > 0)
  ]
])('the node that made it is killed when it %s', async (_, moment) => {
  const nodes = await lab.mesh(3)
  const [entry, ...others] = nodes as [NodeProcess, NodeProcess, NodeProcess]
  const consumer = await lab.start('consumer', [entry], { more: { roles: ['engine'] } })
  const client = await lab.attach(entry)
  await untilMeshed(client, 4)
  const file = join(lab.folder, 'where')
  const targets = others.map(({ id }) => id)
  const made = client.submit<Uint8Array>(moduleFunction(work, 'produce'), [bytes, file], { targets })
  const used = client.submit<string>(moduleFunction(work, 'consume'), [made], { targets: [consumer.id] })
  const ran = async (): Promise<string> => await readFile(file, 'utf8').catch(() => '')
  await until(async () => (await ran()) !== '')
  const where = await ran()
  const producer = others.find(({ id }) => where.startsWith(id))
  if (producer === undefined) expect.unreachable()
  await moment({ producer, consumer, made })
  await producer.kill()
  expect(await used).toBe(`${bytes} ${digest(content(bytes))}`)
  expect(digest(await made)).toBe(digest(content(bytes)))
})
