/**
 * The package as its users have it: compiled, in a folder of its own, with the dependencies beside it.
 *
 * Not here: starting nodes from it (nodes.ts).
 * A node that runs from its sources holds a compiler in every thread, 20 MiB each, which no user pays for; so none is measured.
 */
import { execFile } from 'node:child_process'
import { copyFile, mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { scratch } from './scratch.ts'

const root = join(import.meta.dirname, '..')

let made: Promise<string> | undefined

/** The compiled form of a file in this folder; compiles everything at the first call. */
export async function compiled(name: string): Promise<string> {
  made ??= compile()
  return join(await made, 'dist', 'bench', name.replace(/\.ts$/, '.js'))
}

async function compile(): Promise<string> {
  const folder = join(scratch(), 'package')
  await mkdir(folder)
  await copyFile(join(root, 'package.json'), join(folder, 'package.json'))
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  const tsc = join(root, 'node_modules', '.bin', 'tsc')
  const options = ['-p', join(root, 'bench', 'tsconfig.json'), '--outDir', join(folder, 'dist')]
  await promisify(execFile)(tsc, options)
  return folder
}
