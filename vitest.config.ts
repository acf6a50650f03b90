/**
 * Settings of the test runner.
 *
 * Not here: which tests there are; a file ending in .test.ts is one.
 */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

// Every process that a test starts reads the same code: half of its start would go into that. Node.js reads this at its start.
process.env.NODE_COMPILE_CACHE ??= join(tmpdir(), 'node-compile-cache')

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/integration/prepare.ts',
    // `npm run test:long`: networks that are split take their time.
    exclude: process.env.SHOAL_LONG === undefined ? ['test/integration/hosts.test.ts'] : [],
    // A test waits for events, so this is the limit of those that never come; a busy machine takes its time.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Integration tests start processes of their own and wait for them; two cores carry three files.
    maxWorkers: 3
  }
})
