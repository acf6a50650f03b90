/**
 * What a keeper does for its shards besides keeping them: compares them with other keepers, and lets go what
 * does not count, or was kept for long enough.
 *
 * Not here: how (reconcile.ts, rivals.ts, retention.ts), and telling everybody to forget (release.ts). All speak only now and then.
 */
import type { PeerId } from '../ids.ts'
import { earlier, type Millis } from '../machine.ts'
import type { Random } from '../random.ts'
import type { Persist, Send } from './effects.ts'
import type { TaskMessage } from './messages.ts'
import { Reconcile, type ReconcileView } from './reconcile.ts'
import type { Release } from './release.ts'
import { Retention, type RetentionView } from './retention.ts'
import { Rivals, type RivalsView } from './rivals.ts'

export type UpkeepView = ReconcileView & RivalsView & RetentionView & { readonly release: Release }

export class Upkeep {
  readonly #view: UpkeepView
  readonly #reconcile: Reconcile
  readonly #rivals: Rivals
  readonly #retention: Retention

  constructor(view: UpkeepView, random: Random, now: Millis) {
    this.#view = view
    this.#reconcile = new Reconcile(view, random, now)
    this.#rivals = new Rivals(view)
    this.#retention = new Retention(view)
  }

  restored(now: Millis): Send[] {
    return this.#rivals.restored(now)
  }

  peerUp(peer: PeerId, now: Millis): Send[] {
    const told = [...this.#rivals.peerUp(peer), ...this.#view.release.peerUp(peer, now)]
    return [...this.#reconcile.peerUp(peer), ...told]
  }

  /** After the keeper has heard it. */
  message(from: PeerId, message: TaskMessage, now: Millis): Send[] {
    if (message.kind === 'store') {
      const record = this.#view.keeper.record(message.record.key)
      return record === undefined ? [] : this.#rivals.kept(record, now)
    }
    const told = [...this.#rivals.message(from, message, now), ...this.#retention.message(from, message, now)]
    return [...this.#reconcile.message(from, message), ...told]
  }

  wake(now: Millis): (Send | Persist)[] {
    const { over, effects } = this.#retention.wake(now)
    const orders = over.flatMap((job) => this.#view.release.expire(job, now))
    return [...this.#reconcile.wake(now), ...this.#rivals.wake(now), ...effects, ...orders]
  }

  wakeAt(): Millis | undefined {
    return earlier(earlier(this.#reconcile.wakeAt(), this.#rivals.wakeAt()), this.#retention.wakeAt())
  }
}
