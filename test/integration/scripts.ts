/**
 * Scripts that use the blocking client, each in a process of its own, since it sleeps while it waits.
 *
 * Not here: nodes (processes.ts).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { programOf } from './prepare.ts'
import type { Lab, NodeProcess } from './processes.ts'

export const sync = pathToFileURL(programOf(new URL('../../src/client/sync/sync.ts', import.meta.url)))

export interface Script {
  readonly child: ChildProcess
  /** Resolves with the first line from now on that has this text. */
  line(text: string): Promise<string>
  readonly ended: Promise<{ code: number | null; signal: string | null; out: string[]; errors: string }>
}

let scripts = 0
/** Runs as CommonJS if it requires. Peers: the addresses of these nodes. */
export async function run(lab: Lab, peers: readonly NodeProcess[], text: string): Promise<Script> {
  const isCommon = text.includes('require(')
  const file = join(lab.folder, `script${++scripts}.${isCommon ? 'cjs' : 'mjs'}`)
  const prologue = isCommon ? '' : `import { connectSync } from '${sync.href}'\n`
  await writeFile(file, `${prologue}${text}`)
  return start(lab, peers, [file])
}

export function start(lab: Lab, peers: readonly NodeProcess[], args: readonly string[]): Script {
  const env = {
    ...process.env,
    SHOAL_KEY: lab.keyFile,
    SHOAL_PEERS: peers.map(({ address }) => address).join(',')
  }
  const child = spawn(process.execPath, ['--no-warnings', ...args], { env, stdio: ['pipe', 'pipe', 'pipe'] })
  const out: string[] = []
  let errors = ''
  child.stderr.on('data', (text) => {
    errors += text
  })
  const lines = createInterface({ input: child.stdout }).on('line', (line) => out.push(line))
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, out, errors }))
  const line = async (text: string): Promise<string> => {
    for (;;) {
      const next = await Promise.race([once(lines, 'line'), ended])
      if (!Array.isArray(next)) throw new Error(`ended without ${text}: ${next.out.join('\n')}${next.errors}`)
      if (String(next[0]).includes(text)) return String(next[0])
    }
  }
  return { child, line, ended }
}
