/**
 * That processes keep the contract of threads: the same tests, once more.
 *
 * Not here: what only processes do (crashes.test.ts).
 */
import './as-processes.ts'
import './pool.test.ts'
import './loss.test.ts'
import './task.test.ts'
