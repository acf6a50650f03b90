/**
 * The package as its users have it: built, in a folder of its own, with the dependencies beside it.
 *
 * Not here: what it is built of (build/package.ts), starting nodes from it (nodes.ts).
 * A node that runs from its sources holds a compiler in every thread, 20 MiB each, which no user pays for; so none is measured.
 */
import { copyFile, mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { bundlePackage, root } from '../build/package.ts'
import { scratch } from './scratch.ts'

let made: Promise<string> | undefined

/** The program of a node, beside the built package; builds it at the first call. */
export async function builtNode(): Promise<string> {
  made ??= build()
  return join(await made, 'dist', 'bench-node.js')
}

async function build(): Promise<string> {
  const folder = join(scratch(), 'package')
  await mkdir(folder)
  await copyFile(join(root, 'package.json'), join(folder, 'package.json'))
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  await bundlePackage(join(folder, 'dist'), { 'bench-node': 'bench/node.ts' })
  return folder
}
