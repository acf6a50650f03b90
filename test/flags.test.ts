/**
 * Programs of this repository say how they are used, and refuse what they do not know.
 *
 * Not here: the command `shoal` (test/bin, test/integration/command.test.ts).
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const run = (program: string, ...args: string[]): { status: number | null; stdout: string; stderr: string } =>
  spawnSync(process.execPath, [fileURLToPath(new URL(`../${program}`, import.meta.url)), ...args], {
    encoding: 'utf8'
  })

for (const [program, name] of [
  ['test/sim/main.ts', 'sim'],
  ['test/chaos/main.ts', 'chaos'],
  ['bench/main.ts', 'bench']
] as const) {
  test(`${name} refuses an unknown flag by its name, and says how it is used`, () => {
    const { status, stdout, stderr } = run(program, '--nope')
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
    expect(stderr).toMatch(new RegExp(`--nope[^]*usage: npm run -s ${name}`))
    expect(stderr).not.toContain('at parseArgs')
  })
}

test('--help is no mistake', () => {
  const { status, stdout, stderr } = run('test/sim/main.ts', '--help')
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  expect(stdout).toMatch(/^usage: npm run -s sim/)
})
