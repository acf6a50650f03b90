/**
 * Engines that are processes, in real nodes: whatever a task does, it costs engines and no node; and no engine survives its node.
 *
 * Not here: the pool alone (test/tasks/executor).
 */
import { spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Client, TaskError } from '../../src/index.ts'
import { Lab, type NodeProcess, untilMeshed } from './processes.ts'

const timeout = 240_000
const more = { isolation: 'process' } as const

let lab: Lab
beforeEach(async () => {
  lab = await Lab.open()
})
afterEach(() => lab.close())

async function open(count: number, slots = 1): Promise<readonly [Client, NodeProcess[]]> {
  const first = await lab.start('n1', [], { slots, more })
  const names = Array.from({ length: count - 1 }, (_, i) => `n${i + 2}`)
  const others = await Promise.all(names.map((name) => lab.start(name, [first], { slots, more })))
  const client = await lab.attach(first)
  await untilMeshed(client, count)
  return [client, [first, ...others]]
}

/** What has ended and waits for its parent to notice is not alive. */
function isAlive(pid: number): boolean {
  const state = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).stdout.trim()
  return state !== '' && !state.startsWith('Z')
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await sleep(20)
}

test('CONFORMANCE 29: a task that crashes natively fails after three engines, named with the signal; its neighbours and all nodes live', {
  timeout
}, async () => {
  const [client] = await open(3)
  const job = client.map(
    (x: number) => {
      if (x === 7) process.kill(process.pid, 'SIGSEGV')
      return x
    },
    Array.from({ length: 20 }, (_, i) => i),
    { returnErrors: true }
  )
  const results = (await job) as unknown[]
  const error = results[7] as TaskError
  expect(error.code).toBe('TASK_POISONED')
  expect(error.message.match(/SIGSEGV/g)?.length).toBe(3)
  expect(results.filter((_, i) => i !== 7)).toEqual(
    Array.from({ length: 20 }, (_, i) => i).filter((i) => i !== 7)
  )
  const { nodes } = await client.status()
  expect(nodes).toHaveLength(3)
})

test('a task in a loop ends at its timeout and when it is cancelled, and its engine works on as another process', {
  timeout
}, async () => {
  const [client] = await open(1)
  const loop = (): void => {
    for (;;);
  }
  const late = (await client.submit(loop, [], { timeout: 300 }).then(
    () => expect.unreachable(),
    (error: unknown) => error
  )) as TaskError
  expect(late.code).toBe('TASK_TIMEOUT')
  const pidFile = join(lab.folder, 'pid')
  const endless = client.submit(
    (file: string) => {
      process.getBuiltinModule('node:fs').writeFileSync(file, String(process.pid))
      for (;;);
    },
    [pidFile]
  )
  endless.catch(() => {})
  let pid = 0
  for (; pid === 0; await sleep(20)) pid = Number(await readFile(pidFile, 'utf8').catch(() => ''))
  const from = performance.now()
  await endless.cancel()
  await until(() => !isAlive(pid))
  expect(performance.now() - from).toBeLessThan(5_000)
  expect(await client.submit(() => process.pid, [])).not.toBe(pid)
})

test('no engine survives its node that is killed: not one in a loop, not one that is stopped, not what it started', {
  timeout
}, async () => {
  const [client, [node]] = await open(1, 2)
  const file = (name: string): string => join(lab.folder, name)
  const work = (path: string): void => {
    const { spawn } = process.getBuiltinModule('node:child_process')
    const { writeFileSync } = process.getBuiltinModule('node:fs')
    const sleeper = spawn('sleep', ['1000'], { stdio: 'ignore' })
    writeFileSync(path, `${process.pid} ${sleeper.pid} .`)
    for (;;);
  }
  client.map(work, [file('a'), file('b')]).catch(() => {})
  const read = async (path: string): Promise<number[]> => {
    for (;;) {
      const text = await readFile(path, 'utf8').catch(() => '')
      if (text.endsWith('.')) return text.split(' ').slice(0, 2).map(Number)
      await sleep(20)
    }
  }
  const pids = [...(await read(file('a'))), ...(await read(file('b')))]
  expect(pids.map(isAlive)).toEqual([true, true, true, true])
  process.kill(pids[0] as number, 'SIGSTOP')
  await node?.kill()
  await until(() => !pids.some(isAlive))
})
