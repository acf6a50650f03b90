/**
 * CPU profiles of the measured part: taken in every process at once, and read back as the functions that took the time.
 *
 * Not here: any number of an answer, since a profiled run is a slower one and comes after those that count.
 * Run it on files as well: `node bench/profile.ts FILE...` prints the heaviest functions of each.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { type Profiler, Session } from 'node:inspector/promises'
import { join } from 'node:path'
import type { NodeProcess } from './nodes.ts'

const shownMax = 30

/** Runs `act` under the profiler in this process and in all nodes; does nothing without a folder. */
export async function profiled(
  folder: string | undefined,
  name: string,
  nodes: readonly NodeProcess[],
  act: () => Promise<void>
): Promise<void> {
  if (folder === undefined) return
  await mkdir(folder, { recursive: true })
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await Promise.all(nodes.map((node) => node.profile()))
  await session.post('Profiler.start')
  await act()
  const { profile } = await session.post('Profiler.stop')
  await Promise.all(nodes.map((node, at) => node.profiled(join(folder, `${name}-node-${at}.cpuprofile`))))
  await writeFile(join(folder, `${name}-client.cpuprofile`), JSON.stringify(profile))
  session.disconnect()
}

interface Cost {
  readonly ms: number
  readonly share: number
  readonly where: string
}

/** Functions by the time spent in themselves, heaviest first, and the share of the time that was not idle. */
export function selfTimes({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): Cost[] {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]))
  const micros = new Map<string, number>()
  for (const [at, id] of samples.entries()) {
    const where = names.get(id) ?? '?'
    micros.set(where, (micros.get(where) ?? 0) + (timeDeltas[at] ?? 0))
  }
  let busy = 0
  for (const [where, spent] of micros) if (where !== '(idle)') busy += spent
  const costs = [...micros].map(([where, spent]) => ({ where, ms: spent / 1_000, share: spent / busy }))
  return costs.sort((a, b) => b.ms - a.ms)
}

function nameOf({ functionName, url, lineNumber }: Profiler.ProfileNode['callFrame']): string {
  const name = functionName === '' ? '(anonymous)' : functionName
  return url === '' ? name : `${name} ${shorten(url)}:${lineNumber + 1}`
}

function shorten(url: string): string {
  const inside = /^.*\/node_modules\/(.*)$/.exec(url)?.[1]
  return inside ?? url.replace(/^.*\/(?=(src|bench)\/)/, '')
}

if (import.meta.main) {
  for (const file of process.argv.slice(2)) {
    console.log(file)
    const costs = selfTimes(JSON.parse(await readFile(file, 'utf8')) as Profiler.Profile)
    for (const { ms, share, where } of costs.slice(0, shownMax)) {
      const percent = where === '(idle)' ? '' : `${(share * 100).toFixed(1)} %`
      console.log(`${ms.toFixed(1).padStart(9)} ms ${percent.padStart(7)}  ${where}`)
    }
  }
}
