/**
 * Before all tests: builds the package, as `npm run build` does, with the programs that tests start by the hundred beside it.
 *
 * Not here: what the package consists of (build/package.ts), what these programs do, and starting them (processes.ts,
 * test/chaos/nodes.ts).
 * Most of the start of a process from the sources is finding, reading and stripping 700 files. Whatever a test starts, as a
 * thread too, comes from one build of the sources as they are now, and so does the package that integration tests import.
 */
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { bundlePackage, entryPoints, root } from '../../build/package.ts'

const programs: Readonly<Record<string, string>> = {
  'integration-node': 'test/integration/node.ts',
  'integration-app': 'test/integration/app.ts',
  'integration-holder': 'test/integration/holder.ts',
  'chaos-node': 'test/chaos/node.ts'
}
/** Sources that start or load another one beside them. */
const starters =
  /\/src\/(tasks\/executor\/(thread|child)|hosted\/thread|client\/sync\/channel|client\/views\/view)\.ts$/
/** Tests that use the package as its users do. */
const users = /\/test\/(integration|conformance)\//

/**
 * For the settings of the runner: these tests have the package as it was built, and what other sources start is that, too. The
 * runner keeps what this gives for later runs, so it does not say where the build is.
 */
export const useBuilt = {
  name: 'use what was built',
  enforce: 'pre' as const,
  resolveId: (source: string, importer: string | undefined): string | undefined =>
    source.endsWith('/src/index.ts') && importer !== undefined && users.test(importer)
      ? `\0shoal:${process.env.SHOAL_TEST_EXPORTS}`
      : undefined,
  load: (id: string): string | undefined =>
    id.startsWith('\0shoal:')
      ? `const { ${id.slice('\0shoal:'.length)} } = await import(process.env.SHOAL_TEST_INDEX)
         export { ${id.slice('\0shoal:'.length)} }`
      : undefined,
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

/** The environment of a process that runs a source as it is, and has the package as it was built. */
export function withBuilt(): NodeJS.ProcessEnv {
  return {
    ...process.env,
    NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --import=${new URL('with-built.js', process.env.SHOAL_TEST_INDEX)}`
  }
}

/** Whoever imports one of these sources gets what was built of it. */
function hooks(folder: string): string {
  const built = Object.entries(entryPoints).map(([name, source]) => [
    pathToFileURL(join(root, source)).href,
    pathToFileURL(join(folder, `${name}.js`)).href
  ])
  return `
import { registerHooks } from 'node:module'
const built = new Map(${JSON.stringify(built)})
registerHooks({
  resolve(specifier, context, next) {
    const found = next(specifier, context)
    const url = built.get(found.url)
    return url === undefined ? found : { url, format: 'module', shortCircuit: true }
  }
})
`
}

/** Called for each kind of tests that needs it, and done once. */
export default async function prepare(): Promise<(() => Promise<void>) | undefined> {
  if (process.env.SHOAL_TEST_INDEX !== undefined) return undefined
  const folder = join(root, 'node_modules/.cache/shoal-test', String(process.pid))
  await mkdir(folder, { recursive: true })
  await copyFile(join(root, 'package.json'), join(folder, 'package.json'))
  const dist = join(folder, 'dist')
  await bundlePackage(dist, programs)
  await writeFile(join(dist, 'with-built.js'), hooks(dist))
  const index = join(dist, 'index.js')
  process.env.SHOAL_TEST_INDEX = pathToFileURL(index).href
  const [, names = ''] = /export \{([^}]*)\};?\s*$/.exec(await readFile(index, 'utf8')) ?? []
  process.env.SHOAL_TEST_EXPORTS = names.replaceAll(/\w+ as |\s/g, '')
  return () => rm(folder, { recursive: true, force: true })
}
