/**
 * The terms under which third parties gave what is built into the package.
 *
 * Not here: packages that are installed beside it, which bring theirs along.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from './package.ts'

/** Of all packages that these files are part of. */
export async function licenses(inputs: readonly string[]): Promise<string> {
  const found = inputs.map((input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0])
  const folders = [...new Set(found.filter((folder) => folder !== undefined))].sort()
  return (await Promise.all(folders.map(termsOf))).join(`\n${'-'.repeat(80)}\n`)
}

async function termsOf(folder: string): Promise<string> {
  const about = JSON.parse(await readFile(join(root, folder, 'package.json'), 'utf8'))
  const names = (await readdir(join(root, folder)))
    .filter((name) => /^(licen[cs]e|notice)/i.test(name))
    .sort()
  const texts = await Promise.all(names.map((name) => readFile(join(root, folder, name), 'utf8')))
  return [`${about.name} ${about.version}: ${about.license}\n`, ...texts].join('\n')
}
