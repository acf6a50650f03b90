/**
 * A module and all that it imports as one text, with a map back to the files that people wrote.
 *
 * Not here: functions without a module (functions.ts), what the text looks for beside itself (surroundings.ts).
 * esbuild does the packing. What it cannot pack, native addons and files that are read by their place, is refused here by
 * name: on the other side there would be an error about a path that nobody has ever seen.
 */
import { existsSync } from 'node:fs'
import { SourceMap, type SourceMapPayload } from 'node:module'
import { dirname, relative, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { BuildFailure, BuildResult, Metafile, Plugin } from 'esbuild'
import { ShoalError } from '../errors.ts'
import { codeBytesMax } from './protocol.ts'
import { type Reach, reachesOf } from './surroundings.ts'

export interface Bundle {
  /** An ES module that needs nothing but Node. */
  readonly code: Uint8Array
  readonly exports: readonly string[]
}

// CommonJS dependencies call `require` for Node's own modules, and some name their folder without ever reading it. Globals,
// as the module may declare names like these of its own.
const BANNER = `import { createRequire as $shoalRequire } from 'node:module'
globalThis.require ??= $shoalRequire(import.meta.url)
globalThis.__filename ??= import.meta.filename
globalThis.__dirname ??= import.meta.dirname
`
/** Packages whose only purpose is to load a native addon. */
const addonLoaders =
  /[\\/]node_modules[\\/](node-gyp-build(?:-optional-packages)?|bindings|@mapbox[\\/]node-pre-gyp|pkg-prebuilds)[\\/]/
const insteadOfAddon =
  'use a package without native code, or install it on the nodes and load it there by an absolute path'
const insteadOfFile =
  "import it instead (`import text from './file' with { type: 'text' }`, also 'bytes' and 'json'), pass its contents as an argument, or read it from an absolute path that every node has"

/** Throws SHOAL_BAD_FUNCTION for what cannot travel, saying what to do. Reads the files anew each time. */
export async function bundle(file: string): Promise<Bundle> {
  const { outputFiles = [], metafile } = await pack(file)
  const text = outputFiles.find(({ path }) => path.endsWith('.js'))?.text ?? ''
  const map = absolute(outputFiles.find(({ path }) => path.endsWith('.map'))?.text ?? '', dirname(file))
  if (metafile) refuseAddons(metafile, dirname(file))
  refuseReaches(text, map)
  const inline = Buffer.from(JSON.stringify(map)).toString('base64')
  const mapped = `${text}//# sourceMappingURL=data:application/json;base64,${inline}\n`
  // Rather no lines in stacks than no run.
  const code = mapped.length > codeBytesMax ? text : mapped
  const output = Object.values(metafile?.outputs ?? {}).find(({ entryPoint }) => entryPoint !== undefined)
  return { code: new TextEncoder().encode(code), exports: output?.exports ?? [] }
}

async function pack(file: string): Promise<BuildResult> {
  // Loaded late: few processes pack anything, and all would wait for it.
  const { build } = await import('esbuild')
  try {
    return await build({
      entryPoints: [file],
      absWorkingDir: dirname(file),
      outdir: dirname(file),
      bundle: true,
      write: false,
      metafile: true,
      format: 'esm',
      platform: 'node',
      target: 'node22',
      // Every engine has these; a second copy would know of no task.
      external: ['shoal', 'shoal/task'],
      sourcemap: 'external',
      sourcesContent: false,
      banner: { js: BANNER },
      legalComments: 'none',
      logLevel: 'silent',
      plugins: [addons]
    })
  } catch (cause) {
    throw refusal(`${file} cannot be bundled: ${firstProblem(cause)}`, cause)
  }
}

/** Names a native addon, where esbuild would name the kind of file. */
const addons: Plugin = {
  name: 'addons',
  setup({ onLoad }) {
    onLoad({ filter: /\.node$/ }, ({ path }) => ({
      errors: [
        { text: `\`${path}\` is a native addon, which does not run on other machines; ${insteadOfAddon}` }
      ]
    }))
  }
}

function firstProblem(error: unknown): string {
  const advice = 'fix it, or take the dependency out'
  const [first] = (error as Partial<BuildFailure>).errors ?? []
  if (!first) return `${error instanceof Error ? error.message : String(error)}; ${advice}`
  if (first.pluginName === addons.name) return first.text
  const at = first.location
  return `${at ? `${first.text} (${at.file}:${at.line}:${at.column + 1})` : first.text}; ${advice}`
}

function refuseAddons({ inputs, outputs }: Metafile, folder: string): void {
  const used = new Set(Object.values(outputs).flatMap((output) => Object.keys(output.inputs)))
  for (const [path, { imports }] of Object.entries(inputs)) {
    const isUsed = used.has(path) && !addonLoaders.test(resolve(folder, path))
    if (!isUsed || !imports.some((one) => addonLoaders.test(resolve(folder, one.path)))) continue
    const name = packageOf(resolve(folder, path)) ?? path
    throw refusal(`\`${name}\` loads a native addon, which does not run on other machines; ${insteadOfAddon}`)
  }
}

function packageOf(path: string): string | undefined {
  return /.*[\\/]node_modules[\\/]((?:@[^\\/]+[\\/])?[^\\/]+)[\\/]/.exec(path)?.[1]
}

/** Of one's own modules whatever is read by its place; of a dependency only what is really there. */
function refuseReaches(text: string, map: SourceMapPayload): void {
  if (!/__dirname|__filename|import\.meta/.test(text.slice(BANNER.length))) return
  const positions = new SourceMap(map)
  for (const reach of reachesIn(text)) {
    const origin = positions.findEntry(reach.line - 1, reach.column)
    if (!('originalSource' in origin) || !origin.originalSource?.startsWith('file:')) continue
    const source = fileURLToPath(origin.originalSource)
    const found = reach.path === undefined ? undefined : resolve(dirname(source), reach.path)
    const isThere = found !== undefined && (existsSync(found) || reach.what === 'module')
    if (packageOf(source) !== undefined && !isThere) continue
    throw refusal(said(reach, `${source}:${origin.originalLine + 1}`, found))
  }
}

function reachesIn(text: string): Reach[] {
  try {
    return reachesOf(text)
  } catch {
    // Newer syntax than the parser knows, or nested too deeply for it: then it shows when it runs.
    return []
  }
}

function said({ path, what }: Reach, at: string, found: string | undefined): string {
  if (path?.endsWith('.node'))
    return `${at} loads \`${path}\`, a native addon, which does not run on other machines; ${insteadOfAddon}`
  if (what === 'module')
    return `${at} loads \`${path}\` by createRequire(), which stays behind; import it, and it travels along`
  const name = path === undefined || found === undefined ? 'files by their place' : `\`${path}\` by its place`
  const where = found === undefined ? '' : ` (${relative(process.cwd(), found) || found})`
  return `${at} reads ${name} beside the module${where}, which stays behind; ${insteadOfFile}`
}

/** Whoever reads a stack, on whatever machine, is to find the file that it names. */
function absolute(json: string, folder: string): SourceMapPayload {
  const map = JSON.parse(json) as SourceMapPayload
  return { ...map, sources: map.sources.map((source) => pathToFileURL(resolve(folder, source)).href) }
}

function refusal(message: string, cause?: unknown): ShoalError {
  return new ShoalError('SHOAL_BAD_FUNCTION', message, { cause })
}
