/**
 * Settings of the test runner.
 *
 * Not here: which tests there are; a file ending in .test.ts is one.
 */
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // `npm run test:long`: networks that are split take their time.
    exclude: process.env.SHOAL_LONG === undefined ? ['test/integration/hosts.test.ts'] : [],
    // A test waits for events, so this is the limit of those that never come; a busy machine takes its time.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Integration tests start processes of their own; two cores carry two files.
    maxWorkers: 2
  }
})
