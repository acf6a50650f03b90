/**
 * The line of an app's client through the thread behind it.
 *
 * Not here: where that leads (porter.ts), and what is said on it (client/protocol.ts).
 */
import type { LineEvents } from '../client/line.ts'
import { PortLine } from '../client/port-line.ts'
import type { ShoalError } from '../errors.ts'
import type { Ears, HostThread } from './thread.ts'

export class HostedLine extends PortLine implements Ears {
  readonly #thread: HostThread
  readonly #whenClosed: () => Promise<void>

  /** `whenClosed`: what the app does with the thread once nobody needs this line. */
  constructor(thread: HostThread, events: LineEvents, whenClosed: () => Promise<void>) {
    super((saying) => thread.say(saying), events)
    this.#thread = thread
    this.#whenClosed = whenClosed
    thread.ears = this
  }

  override async open(signal?: AbortSignal): Promise<void> {
    await this.#thread.call({ verb: 'open' }, signal)
  }

  override learn(addresses: readonly string[]): void {
    this.#thread.say({ kind: 'learn', addresses })
  }

  override async leave(): Promise<void> {
    await this.#thread.call({ verb: 'leave' }).catch(() => {})
  }

  override async close(): Promise<void> {
    await this.#whenClosed()
  }

  attach(): Promise<void> {
    return this.events.attach()
  }

  closed(reason: string): void {
    this.events.onClosed(reason)
  }

  /** Nothing comes through it any more; whoever opens it again is told so. */
  lost(error: ShoalError): void {
    this.ownData.fail(error)
    this.events.onClosed(error.message)
  }
}
