/**
 * The header of a job that asks for nothing.
 *
 * Not here: any expectation. A test says only what it is about.
 */
import type { Digest, JobId } from '../../src/ids.ts'
import { anywhere } from '../../src/routing/requirement.ts'
import type { JobHeader } from '../../src/tasks/messages.ts'

export const headerOf = (more: Partial<JobHeader> = {}): JobHeader => ({
  job: 'abcdefgh' as JobId,
  name: '',
  code: 'A'.repeat(43) as Digest,
  exportName: 'default',
  retries: 0,
  timeoutMs: 0,
  priority: 0,
  submittedAt: 0,
  queueTimeoutMs: 0,
  retentionMs: 0,
  atMostOnce: false,
  submitter: '',
  requires: anywhere,
  depth: 0,
  around: [],
  parent: [],
  ...more
})
