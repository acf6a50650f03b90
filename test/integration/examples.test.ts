/**
 * The examples do what they say, each as a process of its own beside a mesh of two.
 *
 * Not here: the demo (mesh.test.ts), and the examples that bring a node of their own (programs.test.ts, sources.test.ts).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { withBuilt } from './prepare.ts'
import { Lab, type NodeProcess } from './processes.ts'

let lab: Lab
let nodes: NodeProcess[]
const children: ChildProcess[] = []
beforeAll(async () => {
  lab = await Lab.open()
  nodes = await lab.mesh(2)
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await lab.close()
})

function start(
  example: string,
  more: Readonly<Record<string, string>> = {},
  stderr: 'inherit' | 'pipe' = 'inherit'
): ChildProcess {
  const file = fileURLToPath(new URL(`../../examples/${example}`, import.meta.url))
  const peers = nodes.map(({ address }) => address).join(',')
  const env = { ...withBuilt(), SHOAL_KEY: lab.keyFile, SHOAL_PEERS: peers, ...more }
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', stderr], env })
  children.push(child)
  return child
}

async function lines(example: string): Promise<string[]> {
  const child = start(example)
  const exit = once(child, 'exit')
  const printed = await text(child.stdout as NonNullable<ChildProcess['stdout']>)
  expect(await exit).toEqual([0, null])
  return printed.trim().split('\n')
}

test('a script that blocks', async () => {
  const told = await lines('blocking/pi.ts')
  expect(told).toHaveLength(5)
  expect(told.at(-1)).toMatch(/^10000000 darts: 3\.14\d\d$/)
})

test('a stateful view: the data stays at the engines', async () => {
  expect((await lines('clusters/clusters.ts')).sort()).toEqual(['0.0 0.0', '10.0 0.0', '5.0 9.0'])
})

test('a sweep of a function with a progress bar', async () => {
  const child = start('logistic/lyapunov.ts', {}, 'pipe')
  const [told, shown, exit] = await Promise.all([
    text(child.stdout as NonNullable<ChildProcess['stdout']>),
    text(child.stderr as NonNullable<ChildProcess['stderr']>),
    once(child, 'exit')
  ])
  expect(exit).toEqual([0, null])
  expect(shown.trim().split('\n').at(-1)).toMatch(/^sweep: 601\/601 done, 0 failed, \d+\/s$/)
  const exponents = new Map(told.split('\n').map((line) => line.split(' ') as [string, string]))
  expect(Number(exponents.get('4.000'))).toBeCloseTo(Math.log(2), 2)
  // Near the middle between two doublings of its period, and in the window of period three.
  expect(Number(exponents.get('3.200'))).toBeLessThan(-0.9)
  expect(Number(exponents.get('3.832'))).toBeLessThan(-1)
})

test('an HTTP server with a node inside: it answers while the mesh works, and its jobs outlive it', async () => {
  const first = start('server/server.ts', { PORT: '0' })
  const url = await addressOf(first)
  const { id } = await post(url, { below: 200_000 })
  await untilJoined(url)
  first.kill('SIGKILL')
  const second = start('server/server.ts', { PORT: '0' })
  await untilJoined(await addressOf(second))
  const answer = await fetch(`${await addressOf(second)}/jobs/${id}`)
  const parts = (await answer.text())
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { from: number; primes: number })
  expect(parts.map(({ from }) => from)).toEqual(Array.from({ length: 20 }, (_, i) => i * 10_000))
  expect(parts.reduce((sum, { primes }) => sum + primes, 0)).toBe(17_984)
  const unknown = await fetch(`${await addressOf(second)}/jobs/AAAAAAAAAAAAAAAA`)
  expect(unknown.status).toBe(404)
  second.kill('SIGTERM')
  expect(await once(second, 'exit')).toEqual([0, null])
})

/** A node that has just started knows nobody yet, and no job. */
async function untilJoined(url: string): Promise<void> {
  const members = async (): Promise<string[]> => {
    const all = (await (await fetch(`${url}/health`)).json()) as { id: string }[]
    return all.map(({ id }) => id)
  }
  await expect.poll(members, { timeout: 30_000 }).toEqual(expect.arrayContaining(nodes.map(({ id }) => id)))
}

const addresses = new Map<ChildProcess, Promise<string>>()
function addressOf(server: ChildProcess): Promise<string> {
  const known = addresses.get(server) ?? readAddress(server)
  addresses.set(server, known)
  return known
}

async function readAddress(server: ChildProcess): Promise<string> {
  const [line] = await once(
    createInterface({ input: server.stdout as NonNullable<ChildProcess['stdout']> }),
    'line'
  )
  return `http://127.0.0.1:${(JSON.parse(line) as { port: number }).port}`
}

async function post(url: string, body: unknown): Promise<{ id: string }> {
  const answer = await fetch(`${url}/primes`, { method: 'POST', body: JSON.stringify(body) })
  expect(answer.status).toBe(202)
  return (await answer.json()) as { id: string }
}
