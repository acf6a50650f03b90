/**
 * Settings of the test runner.
 *
 * Not here: which tests there are; a file ending in .test.ts is one.
 */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import { useBuilt } from './test/integration/prepare.ts'

// Every process that a test starts reads the same code: half of its start would go into that. Node.js reads this at its start.
process.env.NODE_COMPILE_CACHE ??= join(tmpdir(), 'node-compile-cache')
// They live for seconds: with less memory ahead for new objects, and one thread for V8's own work, they need a sixth less CPU.
// Long tests measure memory, and that of a node as it is started by its users.
const isLong = process.env.SHOAL_LONG !== undefined
if (!isLong)
  process.env.NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ''} --max-semi-space-size=2 --v8-pool-size=1`

/** Nothing of these stays behind in a process: they share workers. */
const pure = ['test/{routing,data,tasks,sim,bin}/*.test.ts', 'test/{tidy,wire}.test.ts']
/** Nor of these, which end what they start; loading the package for each of them would take a minute in all. */
const meshes = ['test/{integration,conformance}/*.test.ts', 'test/fuzz/answers.test.ts']
/** Nor of these, which put back what they replace. */
const parts = ['test/{client,node,hosted,fuzz}/*.test.ts', 'test/{flags,clocks}.test.ts']
const globalSetup = 'test/integration/prepare.ts'

export default defineConfig({
  test: {
    // A test waits for events, so this is the limit of those that never come; a busy machine takes its time.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Integration tests start processes of their own and wait for them: two cores are busy with four files. Six take about as
    // long in all, at nearly twice the load, and then more tests meet their limits.
    maxWorkers: isLong ? 3 : 4,
    // These live for minutes, and go through much: with the usual memory ahead they need some 7 % less.
    execArgv: ['--max-semi-space-size=16'],
    // They run in the order of their names: what waits much comes first, and what fills the gaps at the end last.
    projects: [
      { extends: true, test: { name: 'pure', include: pure, isolate: false } },
      {
        extends: true,
        plugins: [useBuilt],
        test: {
          name: 'meshes',
          include: meshes,
          // `npm run test:long`: networks that are split, and gigabytes, take their time.
          exclude: isLong ? [] : ['test/integration/{hosts,volume}.test.ts'],
          isolate: false,
          globalSetup
        }
      },
      {
        extends: true,
        plugins: [useBuilt],
        test: { name: 'parts', include: parts, exclude: meshes, isolate: false, globalSetup }
      },
      {
        extends: true,
        plugins: [useBuilt],
        // The rest (test/tasks/executor) is about processes and what happens to them.
        test: {
          name: 'engines',
          include: ['test/**/*.test.ts'],
          exclude: [...pure, ...meshes, ...parts],
          globalSetup
        }
      }
    ]
  }
})
