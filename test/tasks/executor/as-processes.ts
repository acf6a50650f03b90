/**
 * Imported before tests of the pool, it lets them run with processes for engines.
 *
 * Not here: the tests. What holds for threads holds for processes.
 */
import { vi } from 'vitest'
import { useProcesses } from './bench.ts'

useProcesses()
// A process takes ten times as long to start as a thread, and many times that on a busy machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })
