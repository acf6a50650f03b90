/**
 * `shoal repl`, as a script of lines drives it.
 *
 * Not here: a terminal's part of it, which is Node's: editing, history, completion.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
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

test('has the mesh at hand, awaits, and runs .px lines on every engine', async () => {
  const lines = [
    'const squares = await mesh.map((n) => n * n, [1, 2, 3])',
    'squares',
    '.px seen = 1; console.log("heard")',
    'await view.apply((by) => (seen += by), 4)',
    '.px seen',
    '.px nowhere',
    'typeof shoal.createKey',
    'missing'
  ]
  const command = programOf(new URL('../../bin/shoal.ts', import.meta.url))
  const args = [command, 'repl', '--key', lab.keyFile, '--peer', node.address, '--no-mdns']
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const exit = once(child, 'exit')
  child.stdin.end(`${lines.join('\n')}\n`)
  const stdout = await text(child.stdout)
  const said = stdout.replaceAll(/\[.{6}(\/\d)\]/g, '[$1]').split('\n')
  expect(said.slice(0, 6)).toEqual([
    '[ 1, 4, 9 ]',
    '[/0] heard',
    '[/1] heard',
    '[ 5, 5 ]',
    '[/0] 5',
    '[/1] 5'
  ])
  expect(said.slice(6, 9)).toEqual([
    '[/0] ReferenceError: nowhere is not defined on this engine',
    '[/1] ReferenceError: nowhere is not defined on this engine',
    "'function'"
  ])
  expect(stdout).toContain('missing is not defined')
  expect(await exit).toEqual([0, null])
})
