/**
 * `shoal repl`, as a script of lines drives it, and as somebody at a terminal does.
 *
 * Not here: a terminal's part of it that is Node's: editing and keeping a history.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { programOf } from './prepare.ts'
import { Lab, type NodeProcess } from './processes.ts'

let lab: Lab
let node: NodeProcess
beforeAll(async () => {
  lab = await Lab.open()
  node = await lab.start('n1', [], { slots: 2 })
})
afterAll(() => lab.close())

/** Keys go in, and what the screen shows comes out, without its colours. */
class Terminal {
  readonly #child: ChildProcess
  #shown = ''
  #changed = Promise.withResolvers<void>()

  constructor(command: readonly string[], env: NodeJS.ProcessEnv) {
    // The shell makes way: one that stayed would end by Ctrl-C itself, and say so for the command.
    const line = `exec ${command.map((word) => `'${word}'`).join(' ')}`
    this.#child = spawn('script', ['-qec', line, '/dev/null'], { stdio: 'pipe', env })
    // Heard from the begin: what comes while nobody listens is lost.
    this.#child.stdout?.on('data', (part) => {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a terminal is told by.
      this.#shown += String(part).replaceAll(/\x1b\[[0-9;?]*[A-Za-z]/g, '')
      this.#changed.resolve()
      this.#changed = Promise.withResolvers()
    })
  }

  type(keys: string): void {
    this.#child.stdin?.write(keys)
  }

  /** Until it has shown this since the last one; within a minute, or what it shows instead is told. */
  async shows(wanted: RegExp): Promise<void> {
    const late = sleep(60_000, true, { ref: false })
    for (let found = wanted.exec(this.#shown); ; found = wanted.exec(this.#shown)) {
      if (found !== null) {
        this.#shown = this.#shown.slice(found.index + found[0].length)
        return
      }
      if (await Promise.race([this.#changed.promise, late]))
        throw new Error(`it does not show ${wanted}, but ${JSON.stringify(this.#shown)}`)
    }
  }

  async close(): Promise<void> {
    const exit = once(this.#child, 'exit')
    this.type('.exit\r')
    expect(await exit).toEqual([0, null])
  }
}

test('at a terminal, names are completed after await, and Ctrl-C ends what waits and what computes', async () => {
  const command = programOf(new URL('../../bin/shoal.ts', import.meta.url))
  const reach = ['--key', lab.keyFile, '--peer', node.address, '--no-mdns']
  const env = { ...process.env, TERM: 'xterm', SHELL: '/bin/sh', SHOAL_HISTORY: '' }
  const terminal = new Terminal([process.execPath, command, 'repl', ...reach], env)
  await terminal.shows(/shoal> /)
  terminal.type('const key = await shoal.create')
  // One at a time: what is typed while names are looked for is handled before they are there.
  const tab = setInterval(() => terminal.type('\t'), 1_000)
  await terminal.shows(/shoal\.createKey\s+shoal\.createNode/)
  clearInterval(tab)
  // The line is ended as it is: while names are still looked for, the terminal itself would take Ctrl-U.
  terminal.type('Key(); "made"\r')
  await terminal.shows(/'made'\s+shoal> /)
  terminal.type('.px kept = 3\r')
  await terminal.shows(/\[.{6}\/1\] 3\s+shoal> /)
  // A node says that it runs them before they print anything.
  const begun = join(lab.folder, 'begun')
  const mark = `process.getBuiltinModule("node:fs").appendFileSync("${begun}", "x")`
  terminal.type(`.px console.log("begun"); ${mark}; await new Promise(() => {})\r`)
  while (!existsSync(begun) || (await readFile(begun)).length < 2) await sleep(20)
  terminal.type('\x03')
  await terminal.shows(/\/0\] begun\s+InterruptedError[\s\S]*\/1\] begun\s+InterruptedError/)
  await terminal.shows(/shoal> /)
  terminal.type('.px kept\r')
  await terminal.shows(/\/0\] 3\s+\[.{6}\/1\] 3\s+shoal> /)
  terminal.type('console.log("computes"); for (;;);\r')
  await terminal.shows(/computes\r?\n/)
  terminal.type('\x03')
  await terminal.shows(/interrupted[\s\S]*shoal> /)
  await terminal.close()
})

test('has the mesh at hand, awaits, and runs .px lines on every engine', async () => {
  const lines = [
    'const squares = await mesh.map((n) => n * n, [1, 2, 3])',
    'squares',
    '.px seen = 1; console.log("heard")',
    'await view.apply((by) => (seen += by), 4)',
    '.px seen',
    '.px nowhere',
    'await mesh.submit((all) => all.five, [{ five: mesh.submit(() => 5) }])',
    'await mesh.submit((all) => all.get("a").length, [new Map([["a", await mesh.put(new Uint8Array(1000))]])])',
    'typeof shoal.createKey',
    'missing',
    '1',
    '.exit',
    '"after its end"'
  ]
  const command = programOf(new URL('../../bin/shoal.ts', import.meta.url))
  const args = [command, 'repl', '--key', lab.keyFile, '--peer', node.address, '--no-mdns']
  const child = spawn(process.execPath, args, { stdio: 'pipe' })
  const exit = once(child, 'exit')
  child.stdin.end(`${lines.join('\n')}\n`)
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  expect(stderr).toBe('')
  expect(stdout).not.toContain('after its end')
  const said = stdout.replaceAll(/\[.{6}(\/\d)\]/g, '[$1]').split('\n')
  expect(said.slice(0, 6)).toEqual([
    '[ 1, 4, 9 ]',
    '[/0] heard',
    '[/1] heard',
    '[ 5, 5 ]',
    '[/0] 5',
    '[/1] 5'
  ])
  expect(said.slice(6, 11)).toEqual([
    '[/0] ReferenceError: nowhere is not defined on this engine',
    '[/1] ReferenceError: nowhere is not defined on this engine',
    '5',
    '1000',
    "'function'"
  ])
  expect(stdout).toContain('missing is not defined')
  expect(await exit).toEqual([0, null])
})
