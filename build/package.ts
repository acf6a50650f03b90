/**
 * What the package consists of: a file for each way into it, and what several of them need in files beside those.
 *
 * Not here: when it is built (main.ts), declarations (tsc). Third parties' code is taken in, too; what has binaries is not.
 * The start of a command or a node is mostly finding and reading its code: 700 files of it, or these few.
 */
import { isBuiltin } from 'node:module'
import { fileURLToPath } from 'node:url'
import { build, type Plugin } from 'esbuild'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** They find each other by these names: whoever starts or loads one of them looks beside itself. */
export const entryPoints: Readonly<Record<string, string>> = {
  index: 'src/index.ts',
  sync: 'src/client/sync/sync.ts',
  task: 'src/task.ts',
  shoal: 'bin/shoal.ts',
  engine: 'src/tasks/executor/worker.ts',
  hosted: 'src/hosted/host.ts',
  blocking: 'src/client/sync/host.ts',
  pulse: 'src/client/sync/pulse.ts',
  namespace: 'src/client/views/namespace.ts',
  within: 'src/client/within.ts'
}

/** CommonJS dependencies call `require` for Node's own modules, which an ES module has none of. */
const ownModules: Plugin = {
  name: "Node's own modules",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^[\w:/]+$/ }, ({ path, kind }) =>
      kind === 'require-call' && isBuiltin(path) ? { path, namespace: 'node' } : undefined
    )
    onLoad({ filter: /./, namespace: 'node' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)})`
    }))
  }
}

/**
 * Writes the package's files into the folder, and returns what went into them, relative to the root. `more`: further programs by
 * the names of their files, which share what they can with the package.
 */
export async function bundlePackage(
  folder: string,
  more: Readonly<Record<string, string>> = {}
): Promise<string[]> {
  const { metafile } = await build({
    entryPoints: { ...entryPoints, ...more },
    absWorkingDir: root,
    outdir: folder,
    metafile: true,
    bundle: true,
    splitting: true,
    chunkNames: 'part-[hash]',
    platform: 'node',
    format: 'esm',
    target: 'node22',
    external: ['classic-level', 'esbuild'],
    plugins: [ownModules],
    legalComments: 'none',
    logLevel: 'error'
  })
  return Object.keys(metafile.inputs)
}
