/**
 * Before all tests: puts the node process of the integration tests into one file, with everything that it imports.
 *
 * Not here: what such a process does (node.ts), and starting it (processes.ts).
 * Hundreds of these processes are started, and more than half of each start went into finding and reading 700 files. The code
 * is the same; what it finds beside itself, such as the file of an engine, it finds where its source is.
 */
import { mkdir, readFile, rm } from 'node:fs/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const source = fileURLToPath(new URL('./node.ts', import.meta.url))
const folder = fileURLToPath(new URL('../../node_modules/.cache/shoal-test/', import.meta.url))

export default async function prepare(): Promise<() => Promise<void>> {
  const outfile = `${folder}node-${process.pid}.mjs`
  await mkdir(folder, { recursive: true })
  await build({
    entryPoints: [source],
    outfile,
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
  process.env.SHOAL_TEST_NODE = outfile
  return () => rm(outfile, { force: true })
}
