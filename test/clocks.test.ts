/**
 * Wall clocks: where the sources read one, and that nothing is decided by what it says.
 *
 * Not here: nodes whose clocks are days apart, which work together in test/integration/sick.test.ts.
 * A clock may be wrong, and may jump; what is shown to people may be too, and what is promised may not.
 */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const lines = globSync('src/**/*.ts', { cwd: root }).flatMap((file) =>
  readFileSync(join(root, file), 'utf8')
    .split('\n')
    .filter((line) => !/^\s*(\*|\/\/|\/\*)/.test(line))
    .map((line) => ({ file, line: line.trim() }))
)

test('a wall clock is read only to be shown to people', () => {
  const reading = lines.filter(({ line }) => /\b(new Date|Date\.|Date\()|timeOrigin/.test(line))
  expect(new Set(reading.map(({ file }) => file))).toEqual(
    new Set([
      // When a job was submitted, and when a run began, in its metadata.
      'src/tasks/executor/clock.ts',
      // Whether a terminal was used of late, and the hours at which a machine is to work.
      'src/node/probe.ts',
      'src/node/vigil.ts'
    ])
  )
})

test('when a job was submitted, by a clock elsewhere, is passed on and shown, and nobody else asks for it', () => {
  const using = lines.filter(({ line }) => /submittedAt/.test(line))
  expect(new Set(using.map(({ file }) => file))).toEqual(
    new Set([
      'src/client/client.ts',
      'src/client/header.ts',
      'src/client/job.ts',
      'src/tasks/messages.ts',
      // `jobs` lists the newest first.
      'src/tasks/shelf.ts',
      'src/tasks/holdings.ts',
      'src/node/report.ts',
      'src/node/inquiry.ts',
      'src/client/answers.ts',
      // The metadata of a task.
      'src/client/job.ts'
    ])
  )
})
