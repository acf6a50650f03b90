/**
 * Worker processes: one for each processor, because a world needs one thread and nothing else.
 *
 * Not here: what a worker does (worker.ts). A worker that ends badly is an error of the simulator and not of a seed,
 * unless the seed itself brought it down: then its last words are shown.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Verdict } from './seeds.ts'

export const processes = 2

const worker = fileURLToPath(new URL('worker.ts', import.meta.url))

/** Runs one worker to its end. Rejects if it fails for a reason of its own. */
export async function work(args: readonly string[], onVerdict: (verdict: Verdict) => void): Promise<void> {
  const child = spawn(process.execPath, [worker, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let noise = ''
  child.stderr.on('data', (part: Buffer) => {
    noise = (noise + part.toString()).slice(-4_000)
  })
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  for await (const line of createInterface({ input: child.stdout })) onVerdict(JSON.parse(line) as Verdict)
  const code = await ended
  if (code !== 0) throw new Error(`a worker ended with code ${code}: ${noise}`)
}

/** Does all of `tasks`, so many at a time as there are processes. */
export async function inParallel(tasks: readonly (() => Promise<void>)[]): Promise<void> {
  const rest = [...tasks]
  const lanes = Array.from({ length: processes }, async () => {
    for (let next = rest.shift(); next !== undefined; next = rest.shift()) await next()
  })
  await Promise.all(lanes)
}
