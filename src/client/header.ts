/**
 * What a submission says of all its tasks, from the options of its client. Throws SHOAL_OWN_ENGINE (nest.ts).
 *
 * Not here: checking them (options.ts).
 */
import { randomUUID } from 'node:crypto'
import type { JobId } from '../ids.ts'
import { wallClock } from '../tasks/executor/clock.ts'
import { sharedMillis } from '../tasks/executor/protocol.ts'
import type { JobHeader } from '../tasks/messages.ts'
import type { Shipped } from './functions.ts'
import { type Nest, refuseAround } from './nest.ts'
import type { Settings } from './options.ts'

/** How long results within a task are kept if it does not say: nobody else knows of them. */
const nestedRetentionMs = 600_000

export function headerOf(
  { id, nest }: { readonly id: JobId; readonly nest: Nest | undefined },
  { digest, exportName, name }: Shipped,
  settings: Settings,
  submitter: string
): JobHeader {
  refuseAround(settings.requires.targets, nest?.around ?? [])
  return {
    job: id,
    name: settings.name ?? name.slice(0, 128),
    code: digest,
    exportName,
    retries: settings.retries,
    timeoutMs: settings.timeoutMs,
    priority: settings.priority + (nest?.priority ?? 0),
    // By the clock of the runs: whoever embeds a node never reads that a task began before it was submitted.
    submittedAt: Math.floor(wallClock.at(sharedMillis())),
    retentionMs: settings.retentionMs || (nest === undefined ? 0 : nestedRetentionMs),
    atMostOnce: settings.atMostOnce,
    queueTimeoutMs: settings.queueTimeoutMs,
    submitter: nest?.submitter ?? submitter,
    requires: settings.requires,
    depth: nest?.depth ?? 0,
    around: nest?.around ?? [],
    parent: nest === undefined ? [] : [nest.parent]
  }
}

/** From the first 90 random bits of a UUID: Node draws those of many at a time, which costs a hundredth of as many bytes alone. */
export const newJobId = (): JobId =>
  Buffer.from(randomUUID().replaceAll('-', ''), 'hex').subarray(0, 12).toString('base64url') as JobId
