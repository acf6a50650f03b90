/**
 * Builds the package into dist/: `node build/main.ts`.
 *
 * Not here: what it consists of (package.ts), and the declarations, which tsc writes beside it.
 * It says what it was built of, so that the `shoal` of a checkout runs it only while the sources are still the same.
 */
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { licenses } from './licenses.ts'
import { bundlePackage, root } from './package.ts'
import { stampsOf } from './stamps.ts'

/** What it depends on besides what goes into it. */
const others = ['package.json', 'package-lock.json', 'tsconfig.json', 'build/package.ts']

const startedAt = Date.now()
const dist = join(root, 'dist')
await rm(dist, { recursive: true, force: true })
const inputs = await bundlePackage(dist)
await writeFile(join(dist, 'LICENSES.txt'), await licenses(inputs))
await writeFile(join(dist, 'sources.json'), JSON.stringify(await stampsOf([...inputs, ...others], startedAt)))
