/**
 * The output of a command as a live stream: each line of stdout an item.
 *
 * Not here: who reads it (src/node/sources.ts). While nobody does, or a reader is slow, the command is held up by its own pipe.
 */
import { type ChildProcess, spawn } from 'node:child_process'

/** Characters of one line; a longer one comes in pieces. */
export const lineCharsMax = 256 << 10

/** Runs it by the shell, since whoever starts a node writes the command. It is ended with its reader. */
export async function* linesOf(command: string): AsyncGenerator<string> {
  // A process group of its own, to be ended with all that it starts.
  const child = spawn(command, { shell: true, stdio: ['ignore', 'pipe', 'inherit'], detached: true })
  const exit = new Promise<number | string>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve(code ?? signal ?? 'no reason'))
  })
  exit.catch(() => {})
  const end = (): void => endGroup(child)
  process.once('exit', end)
  try {
    child.stdout.setEncoding('utf8')
    let rest = ''
    for await (const chunk of child.stdout) {
      const lines = `${rest}${chunk}`.split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) yield* pieces(line.replace(/\r$/, ''))
      if (rest.length > lineCharsMax) {
        yield* pieces(rest)
        rest = ''
      }
    }
    if (rest !== '') yield* pieces(rest)
    const code = await exit
    if (code !== 0) throw new Error(`${command} ended with ${code}`)
  } finally {
    process.off('exit', end)
    end()
  }
}

function* pieces(line: string): Generator<string> {
  if (line.length <= lineCharsMax) yield line
  else for (let at = 0; at < line.length; at += lineCharsMax) yield line.slice(at, at + lineCharsMax)
}

function endGroup({ pid, exitCode, signalCode }: ChildProcess): void {
  if (pid === undefined || (exitCode ?? signalCode) !== null) return
  try {
    process.kill(-pid, 'SIGTERM')
  } catch {
    // It has just ended.
  }
}
