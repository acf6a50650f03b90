/**
 * What a keeper does for its shards besides keeping them: compares them with other keepers, and lets go what does not count.
 *
 * Not here: how (reconcile.ts, rivals.ts). Both speak only now and then, and of what is kept here.
 */
import type { PeerId } from '../ids.ts'
import { earlier, type Millis } from '../machine.ts'
import type { Random } from '../random.ts'
import type { Send } from './effects.ts'
import type { TaskMessage } from './messages.ts'
import { Reconcile, type ReconcileView } from './reconcile.ts'
import { Rivals, type RivalsView } from './rivals.ts'

export type UpkeepView = ReconcileView & RivalsView

export class Upkeep {
  readonly #view: UpkeepView
  readonly #reconcile: Reconcile
  readonly #rivals: Rivals

  constructor(view: UpkeepView, random: Random, now: Millis) {
    this.#view = view
    this.#reconcile = new Reconcile(view, random, now)
    this.#rivals = new Rivals(view)
  }

  restored(now: Millis): Send[] {
    return this.#rivals.restored(now)
  }

  peerUp(peer: PeerId): Send[] {
    return [...this.#reconcile.peerUp(peer), ...this.#rivals.peerUp(peer)]
  }

  /** After the keeper has heard it. */
  message(from: PeerId, message: TaskMessage, now: Millis): Send[] {
    if (message.kind === 'store') {
      const record = this.#view.keeper.record(message.record.key)
      return record === undefined ? [] : this.#rivals.kept(record, now)
    }
    return [...this.#reconcile.message(from, message), ...this.#rivals.message(from, message, now)]
  }

  wake(now: Millis): Send[] {
    return [...this.#reconcile.wake(now), ...this.#rivals.wake(now)]
  }

  wakeAt(): Millis | undefined {
    return earlier(this.#reconcile.wakeAt(), this.#rivals.wakeAt())
  }
}
