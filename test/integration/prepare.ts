/**
 * Before all tests: builds the package, as `npm run build` does, with the programs that tests start by the hundred beside it.
 *
 * Not here: what the package consists of (build/package.ts), what these programs do, and starting them (processes.ts,
 * test/chaos/nodes.ts).
 * Most of the start of a process from the sources is finding, reading and stripping 700 files. Whatever a test starts, as a
 * thread too, comes from one build of the sources as they are now, wherever the test itself has its code from.
 */
import { copyFile, mkdir, rm } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { bundlePackage, entryPoints, root } from '../../build/package.ts'

const programs: Readonly<Record<string, string>> = {
  'integration-node': 'test/integration/node.ts',
  'integration-app': 'test/integration/app.ts',
  'chaos-node': 'test/chaos/node.ts'
}
/** Sources that start or load another one beside them. */
const starters =
  /\/src\/(tasks\/executor\/(thread|child)|hosted\/thread|client\/sync\/channel|client\/views\/view)\.ts$/

/** For the settings of the runner: what these start is what was built. Where that is may differ from run to run. */
export const startBuilt = {
  name: 'start what was built',
  enforce: 'pre' as const,
  transform: (text: string, id: string): string | undefined =>
    starters.test(id) ? text.replaceAll('import.meta.url', 'process.env.SHOAL_TEST_INDEX') : undefined
}

/** The file to run for this source: built, if that was done. */
export function programOf(source: URL): string {
  const file = fileURLToPath(source)
  const index = process.env.SHOAL_TEST_INDEX
  if (index === undefined) return file
  const path = relative(root, file)
  const entry = Object.entries({ ...entryPoints, ...programs }).find(([, of]) => of === path)
  if (entry === undefined) throw new Error(`${path} is no program that is built`)
  return fileURLToPath(new URL(`${entry[0]}.js`, index))
}

export default async function prepare(): Promise<() => Promise<void>> {
  const folder = join(root, 'node_modules/.cache/shoal-test', String(process.pid))
  await mkdir(folder, { recursive: true })
  await copyFile(join(root, 'package.json'), join(folder, 'package.json'))
  await bundlePackage(join(folder, 'dist'), programs)
  process.env.SHOAL_TEST_INDEX = pathToFileURL(join(folder, 'dist/index.js')).href
  return () => rm(folder, { recursive: true, force: true })
}
