/**
 * What becomes of the programs of a node that is gone.
 *
 * Not here: a node that is killed as a whole (test/integration/programs.test.ts).
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { Warden } from '../../../src/tasks/executor/warden.ts'

test('a program of which its node could not tell any more ends with it', async () => {
  const warden = new Warden()
  warden.ready()
  const env = { ...process.env, SHOAL_RUN: `${warden.mark}1` }
  const program = spawn('sleep', ['600'], { detached: true, stdio: 'ignore', env })
  const ended = once(program, 'exit')
  await once(program, 'spawn')
  warden.close()
  expect(await ended).toEqual([null, 'SIGTERM'])
})

test('a program that stands still when its node is gone may clean up like any other', async () => {
  const script = `trap 'echo tidy; exit 0' TERM; echo up; while :; do sleep 0.02; done`
  const program = spawn('/bin/sh', ['-c', script], { detached: true, stdio: ['ignore', 'pipe', 'inherit'] })
  const group = program.pid as number
  const said = program.stdout.setEncoding('utf8')
  const ended = once(program, 'exit')
  expect(await once(said, 'data')).toEqual(['up\n'])
  const warden = new Warden()
  warden.watch(group)
  process.kill(-group, 'SIGSTOP')
  warden.close()
  expect(await once(said, 'data')).toEqual(['tidy\n'])
  expect(await ended).toEqual([0, null])
})
