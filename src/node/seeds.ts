/**
 * Bootstrap addresses: each is dialed again and again until a node behind it is connected, and again when it is lost.
 *
 * Not here: peers that were learned from others; whom to dial of those is the membership's business.
 * A seed is a promise of the user that somebody lives there, so giving up on it would be wrong.
 */
import type { PeerId } from '../ids.ts'

const firstWaitMs = 500
const lastWaitMs = 5_000

export interface SeedsOptions {
  readonly addresses: readonly string[]
  /** Resolves when the peer behind it is connected; the failure has been reported when it rejects. */
  readonly dial: (address: string) => Promise<PeerId>
  readonly isConnected: (peer: PeerId) => boolean
}

export class Seeds {
  private readonly options: SeedsOptions
  private readonly timers = new Map<string, ReturnType<typeof setTimeout>>()
  private readonly found = new Map<string, PeerId>()
  /** Their streams ended for idleness; the membership dials them when it needs them. */
  private readonly resting = new Set<PeerId>()
  private stopped = false

  constructor(options: SeedsOptions) {
    this.options = options
  }

  start(): void {
    for (const address of this.options.addresses) void this.tend(address, firstWaitMs)
  }

  stop(): void {
    this.stopped = true
    for (const timer of this.timers.values()) clearTimeout(timer)
  }

  /** Its stream ends because nobody needs it. */
  rest(peer: PeerId): void {
    if ([...this.found.values()].includes(peer)) this.resting.add(peer)
  }

  /** It is connected again, or cannot be reached: no rest any more. */
  woke(peer: PeerId): void {
    this.resting.delete(peer)
  }

  /** A peer is gone: if it stands behind an address, that is dialed again soon. */
  lost(peer: PeerId): void {
    if (this.stopped) return
    for (const [address, found] of this.found) {
      const timer = this.timers.get(address)
      if (found !== peer || timer === undefined) continue
      clearTimeout(timer)
      this.timers.set(
        address,
        setTimeout(() => void this.tend(address, firstWaitMs), firstWaitMs)
      )
    }
  }

  /** Never rejects. */
  private async tend(address: string, waitMs: number): Promise<void> {
    this.timers.delete(address)
    const peer = this.found.get(address)
    let next = lastWaitMs
    if (peer === undefined || !(this.options.isConnected(peer) || this.resting.has(peer))) {
      try {
        this.found.set(address, await this.options.dial(address))
      } catch {
        next = waitMs
      }
    }
    if (this.stopped) return
    const timer = setTimeout(() => void this.tend(address, Math.min(lastWaitMs, next * 2)), next)
    this.timers.set(address, timer)
  }
}
