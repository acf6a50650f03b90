/**
 * What a program made in its folder: each output by its name, a file, or a folder with all that is in it.
 *
 * Not here: the folder, and what becomes of the files (scratch.ts).
 * Links are followed to what the program made, as `cp -rL` does it. What lies in a folder and cannot come back is left out and
 * said: the rest may have taken hours, and a stray link is no reason to lose it.
 */
import { isUtf8 } from 'node:buffer'
import type { Dirent, Stats } from 'node:fs'
import { readdir, realpath, stat } from 'node:fs/promises'
import { dirname, join, sep } from 'node:path'
import type { OutputFile } from './program.ts'
import { isInside } from './template.ts'

/** Of what was left out, so many are named. */
const namedMax = 20

/** A missing output. */
export class NoOutput extends Error {}

export interface Found extends Omit<OutputFile, 'content'> {
  readonly path: string
}

export class Made {
  readonly #work: string
  /** The folder around `work`, and a separator. */
  readonly #root: string
  readonly #leftOut: string[] = []

  private constructor(work: string, root: string) {
    this.#work = work
    this.#root = root
  }

  static async in(work: string): Promise<Made> {
    return new Made(work, `${await realpath(dirname(work))}${sep}`)
  }

  /** What was left out so far and why, as lines for its stderr. */
  get notes(): string {
    const more = this.#leftOut.length - namedMax
    const lines = this.#leftOut.slice(0, namedMax)
    if (more > 0) lines.push(`and ${more} more were left out`)
    return lines.map((line) => `shoal: ${line}\n`).join('')
  }

  /** The file, or all files of the folder, sorted by their names. Rejects with NoOutput. */
  async *at(name: string): AsyncGenerator<Found> {
    if (!isInside(name)) throw new NoOutput(`the output ${name} is not in the folder of the program`)
    const real = await realpath(join(this.#work, name)).catch(() => undefined)
    if (real === undefined) throw new NoOutput(`it did not make its output ${name}`)
    // By a link to a folder, half a machine would come back.
    if (!real.startsWith(this.#root))
      throw new NoOutput(`its output ${name} leads to ${real}, outside of its folder; let it make a copy`)
    const found = await stat(real)
    if (found.isDirectory()) yield* this.#within(name, [real])
    else if (found.isFile()) yield this.#file(name, found)
    else throw new NoOutput(`its output ${name} is no file`)
  }

  /** `around`: the folder, and those that it was come to through. */
  async *#within(folder: string, around: readonly string[]): AsyncGenerator<Found> {
    const options = { withFileTypes: true, encoding: 'buffer' } as const
    const entries = new Map<string, Dirent<Buffer>>()
    for (const entry of await readdir(join(this.#work, folder), options)) {
      const name = join(folder, entry.name.toString())
      if (isUtf8(entry.name)) entries.set(name, entry)
      else this.#leftOut.push(`${name} was left out: its name is no UTF-8`)
    }
    for (const [name, entry] of [...entries].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const path = join(this.#work, name)
      const real = entry.isSymbolicLink() ? await realpath(path).catch(() => undefined) : path
      const found = real === undefined ? undefined : await stat(real)
      const reason = this.#reasonAgainst(real, found, entry, around)
      if (reason !== undefined) this.#leftOut.push(`${name} was left out: ${reason}`)
      else if (found?.isDirectory()) yield* this.#within(name, [...around, await realpath(path)])
      else if (found !== undefined) yield this.#file(name, found)
    }
  }

  /** Why it does not come back. */
  #reasonAgainst(
    real: string | undefined,
    found: Stats | undefined,
    entry: Dirent<Buffer>,
    around: readonly string[]
  ): string | undefined {
    if (real === undefined || found === undefined) return 'it is a link to nothing'
    if (!found.isFile() && !found.isDirectory()) return 'it is neither a file nor a folder'
    if (!entry.isSymbolicLink()) return undefined
    if (!real.startsWith(this.#root))
      return `it leads to ${real}, outside of the program's folder; let it make a copy`
    return around.includes(real) ? 'it leads to a folder that it lies in' : undefined
  }

  #file(name: string, { mode, size }: Stats): Found {
    return { name, path: join(this.#work, name), isExecutable: (mode & 0o111) !== 0, size }
  }
}
