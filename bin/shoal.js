#!/usr/bin/env node
/**
 * The way into the command, in words that any Node.js since 12 can read: finds a Node.js that is new enough, then goes on.
 *
 * Not here: any command (shoal.ts). A package has only what was built of the sources, which starts in half of the time. In a
 * checkout that runs, too, but only while every source is the very same that it was built of; else the sources run as they are.
 * This is a doorman: who comes to the wrong door is shown the right one, and told where it is if there is none.
 */
// biome-ignore-all lint/style/useNodejsImportProtocol: Node.js 12 does not know `node:`.
import { spawn } from 'child_process'
import { existsSync, readFileSync, statSync } from 'fs'
import module from 'module'
import { constants } from 'os'
import { fileURLToPath } from 'url'

const least = [22, 18]
const at = (path) => fileURLToPath(new URL(path, import.meta.url))

function isNewEnough(version) {
  const [major, minor] = version.split('.').map(Number)
  return major > least[0] || (major === least[0] && minor >= least[1])
}

/** Whether dist/ was built of just these sources (build/stamps.ts). */
function isBuilt() {
  try {
    const stamps = JSON.parse(readFileSync(at('../dist/sources.json'), 'utf8'))
    return Object.keys(stamps).every((name) => {
      const { size, mtimeMs } = statSync(at(`../${name}`))
      return stamps[name] === `${size} ${mtimeMs}`
    })
  } catch {
    return false
  }
}

/** Runs this command by `node` instead; signals and the exit code pass through. */
function runBy(node) {
  const child = spawn(node, process.argv.slice(1), { stdio: 'inherit' })
  const pass = (signal) => child.kill(signal)
  const passed = ['SIGINT', 'SIGTERM', 'SIGHUP']
  for (const signal of passed) process.on(signal, pass)
  child.on('error', (error) => refuse(`${node} cannot be started (${error.message})`))
  child.on('exit', (code, signal) => {
    for (const one of passed) process.removeListener(one, pass)
    process.exitCode = signal === null ? code : 128 + constants.signals[signal]
    // Whoever waits for this process learns how the other one ended.
    if (signal !== null) process.kill(process.pid, signal)
  })
}

function refuse(what) {
  const advice = 'install it from https://nodejs.org, or by `npm install --global node@24`'
  process.stderr.write(`SHOAL_OLD_NODE: ${what}; ${advice}\n`)
  process.exitCode = 2
}

const version = process.versions.node
const ownNode = at('../node_modules/node/bin/node')
if (isNewEnough(version)) {
  // Half of a short command's time would go into reading the same code again.
  if (module.enableCompileCache) module.enableCompileCache()
  const sources = at('./shoal.ts')
  import(existsSync(sources) && !isBuilt() ? './shoal.ts' : '../dist/shoal.js').catch((error) => {
    const isMissing = error.code === 'ERR_MODULE_NOT_FOUND' && !existsSync(at('../dist/shoal.js'))
    if (!isMissing || existsSync(sources)) throw error
    process.stderr.write(
      'shoal: this package was not built; run `npm run build` in it, or install it again\n'
    )
    process.exitCode = 2
  })
} else if (existsSync(ownNode) && process.execPath !== ownNode) {
  runBy(ownNode)
} else {
  refuse(`shoal needs Node.js ${least.join('.')} or newer, this is ${version}`)
}
