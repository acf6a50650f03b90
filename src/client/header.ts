/**
 * What a submission says of all its tasks, from the options of its client.
 *
 * Not here: checking them (options.ts).
 */
import type { JobId } from '../ids.ts'
import type { JobHeader } from '../tasks/messages.ts'
import type { Shipped } from './functions.ts'
import type { Settings } from './options.ts'

export function headerOf(
  job: JobId,
  { digest, exportName, name }: Shipped,
  settings: Settings,
  submitter: string
): JobHeader {
  return {
    job,
    name: settings.name ?? name.slice(0, 128),
    code: digest,
    exportName,
    retries: settings.retries,
    timeoutMs: settings.timeoutMs,
    priority: settings.priority,
    submittedAt: Date.now(),
    retentionMs: settings.retentionMs,
    atMostOnce: settings.atMostOnce,
    queueTimeoutMs: settings.queueTimeoutMs,
    submitter,
    requires: settings.requires
  }
}
