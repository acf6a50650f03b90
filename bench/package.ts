/**
 * The package as its users have it: built, in a folder of its own, with the dependencies beside it.
 *
 * Not here: what it is built of (build/package.ts), starting what lies in it (nodes.ts, data.ts).
 * A node that runs from its sources holds a compiler in every thread, 20 MiB each, which no user pays for; so none is measured.
 */
import { copyFile, mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { bundlePackage, root } from '../build/package.ts'
import { scratch } from './scratch.ts'

let made: Promise<string> | undefined

const programs = { 'bench-node': 'bench/node.ts', 'bench-data': 'bench/data-client.ts' } as const

/** The file of a program that lies beside the built package; builds it at the first call. */
export async function builtProgram(name: keyof typeof programs): Promise<string> {
  made ??= build()
  return join(await made, 'dist', `${name}.js`)
}

async function build(): Promise<string> {
  const folder = join(scratch(), 'package')
  await mkdir(folder)
  await copyFile(join(root, 'package.json'), join(folder, 'package.json'))
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  await bundlePackage(join(folder, 'dist'), programs)
  return folder
}
