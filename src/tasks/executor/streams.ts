/**
 * The files that a program reads and writes in the place of pipes.
 *
 * Not here: what is heard through pipes (tree.ts), and what becomes of output files (scratch.ts).
 */
import { mkdir, open, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { templateInput } from './argv.ts'
import type { ProgramInput, Recipe } from './program.ts'
import type { Place } from './scratch.ts'
import { fill, isInside } from './template.ts'
import type { TreeOptions } from './tree.ts'

export interface Streams {
  readonly fds: Pick<TreeOptions, 'stdin' | 'stdout'>
  /** The end of what was written to the file that takes stdout; empty if there is none. Never rejects. */
  stdoutEnd(bytesMax: number): Promise<Uint8Array>
  close(): Promise<void>
}

/** Folders of outputs are there before the program begins. */
export async function openStreams(
  recipe: Recipe,
  input: ProgramInput,
  { root, work }: Place
): Promise<Streams> {
  const one = templateInput(input)
  const names = [...recipe.outputs, recipe.stdoutFile].map((name) => fill(name, one)).filter(isInside)
  for (const name of names) await mkdir(dirname(join(work, name)), { recursive: true })
  let stdinPath: string | undefined
  if (recipe.stdinFile !== '') stdinPath = join(work, fill(recipe.stdinFile, one))
  else if (recipe.stdin.byteLength > 0) {
    stdinPath = join(root, 'stdin')
    await writeFile(stdinPath, recipe.stdin)
  }
  const stdin = stdinPath === undefined ? undefined : await open(stdinPath, 'r')
  const stdoutPath = recipe.stdoutFile === '' ? undefined : join(work, fill(recipe.stdoutFile, one))
  // Read, too: under its name there may be something else by the end.
  const stdout = stdoutPath === undefined ? undefined : await open(stdoutPath, 'w+')
  const endOf = async (bytesMax: number): Promise<Uint8Array> => {
    if (stdout === undefined) return new Uint8Array()
    const from = Math.max(0, (await stdout.stat()).size - bytesMax)
    const { buffer, bytesRead } = await stdout.read(Buffer.alloc(bytesMax), 0, bytesMax, from)
    return buffer.subarray(0, bytesRead)
  }
  return {
    fds: { stdin: stdin?.fd, stdout: stdout?.fd },
    stdoutEnd: (bytesMax) => endOf(bytesMax).catch(() => new Uint8Array()),
    close: async () => {
      await stdin?.close()
      await stdout?.close()
    }
  }
}
