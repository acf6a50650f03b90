/**
 * Before all tests: puts the programs that tests start by the hundred into one file each, with everything that they import.
 *
 * Not here: what these programs do, and starting them (processes.ts, test/chaos/nodes.ts).
 * More than half of the start of a node went into finding and reading 700 files. The code is the same; what it finds beside
 * itself, such as the file of an engine, it finds where its source is.
 */
import { readFile, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const tests = fileURLToPath(new URL('..', import.meta.url))
const programs = ['integration/node.ts', 'integration/app.ts', 'chaos/node.ts']
const outdir = join(tests, `../node_modules/.cache/shoal-test/${process.pid}`)

/** The file to run for this source: prepared, if that was done. */
export function programOf(source: URL): string {
  const file = fileURLToPath(source)
  const folder = process.env.SHOAL_TEST_PROGRAMS
  return folder === undefined ? file : join(folder, basename(dirname(file)), `${basename(file, '.ts')}.mjs`)
}

export default async function prepare(): Promise<() => Promise<void>> {
  await build({
    entryPoints: programs.map((name) => join(tests, name)),
    outdir,
    outbase: tests,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node22',
    logLevel: 'error',
    // What has binaries beside it stays where it is.
    external: ['classic-level', 'esbuild'],
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"
    },
    plugins: [
      {
        name: 'place of the source',
        setup: ({ onLoad }) =>
          onLoad({ filter: /\/(src|test)\/.*\.ts$/ }, async ({ path }) => {
            const text = await readFile(path, 'utf8')
            const contents = text.replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href))
            return { contents, loader: 'ts' }
          })
      }
    ]
  })
  process.env.SHOAL_TEST_PROGRAMS = outdir
  return () => rm(outdir, { recursive: true, force: true })
}
