/**
 * Streams that this process offers to the mesh: pulls an item when the core asks for one, and tells how they end.
 *
 * Not here: who reads them, and when they are pulled (sources.ts).
 */
import { onlyKnown, refuse, shown } from '../client/checks.ts'
import { ShoalError } from '../errors.ts'
import { sourcesMax } from '../routing/messages.ts'
import { itemBytesMax } from '../routing/source-messages.ts'
import { encodeValue } from '../tasks/executor/codec.ts'
import type { Overflow, SourceInput } from './sources.ts'
import { stopped } from './underway.ts'

export interface SourceOptions {
  /**
   * What happens when a reader is slow. `wait` (default): the source is pulled as fast as the slowest reader reads, and not
   * at all while nobody does. `drop`: it is pulled all the time, and a slow reader misses the oldest items beyond 64.
   */
  readonly overflow?: Overflow
}

/** A source that is offered. */
export interface Source {
  /** Resolves when it has ended: by itself, by `close`, with its node, or because it threw. */
  readonly ended: Promise<void>
  /** Ends it for all readers. */
  close(): Promise<void>
}

interface Offer {
  readonly iterator: AsyncIterator<unknown>
  readonly ended: PromiseWithResolvers<void>
}

export class Offers {
  /** To the core. */
  readonly tell: (news: SourceInput) => void
  /** Pulls what another thread offers, which tells of it by `tell`. */
  elsewhere: ((name: string) => void) | undefined
  readonly #open = new Map<string, Offer>()
  #isClosed = false

  constructor(tell: (news: SourceInput) => void) {
    this.tell = tell
  }

  /** Throws SHOAL_BAD_OPTION, and SHOAL_CLOSED once its node stops. */
  offer(name: string, items: AsyncIterable<unknown>, options: SourceOptions = {}): Source {
    if (this.#isClosed) throw stopped()
    onlyKnown(options, ['overflow'])
    const { overflow = 'wait' } = options
    if (typeof name !== 'string' || name === '' || name.length > 128)
      refuse(`a source is called ${shown(name)}; names are 1 to 128 characters`)
    if (this.#open.has(name)) refuse(`this node offers a source ${JSON.stringify(name)} already`)
    if (this.#open.size >= sourcesMax) refuse(`this node offers ${sourcesMax} sources already`)
    if (overflow !== 'wait' && overflow !== 'drop')
      refuse(`\`overflow\` is ${shown(overflow)}; there are wait and drop`)
    if (typeof items?.[Symbol.asyncIterator] !== 'function')
      refuse(`the source ${JSON.stringify(name)} is no async iterable`)
    const offer = { iterator: items[Symbol.asyncIterator](), ended: Promise.withResolvers<void>() }
    this.#open.set(name, offer)
    this.tell({ kind: 'source-offered', name, overflow })
    return { ended: offer.ended.promise, close: () => this.#end(name, offer, '', 'its node ended it') }
  }

  /** The core has room for one item more. */
  pull(name: string): void {
    const offer = this.#open.get(name)
    if (offer !== undefined) void this.#next(name, offer)
    else this.elsewhere?.(name)
  }

  /** Ends all, and takes no more. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([...this.#open].map(([name, offer]) => this.#end(name, offer, '', 'its node stops')))
  }

  async #next(name: string, offer: Offer): Promise<void> {
    try {
      const { done, value } = await offer.iterator.next()
      if (this.#open.get(name) !== offer) return
      if (done) return await this.#end(name, offer, '', 'it has no more items')
      const bytes = encodeValue(value)
      if (bytes.byteLength > itemBytesMax)
        throw new ShoalError(
          'SHOAL_BAD_VALUE',
          `an item of ${bytes.byteLength} bytes; ${itemBytesMax} are allowed: \`put\` it, and give its Ref`
        )
      this.tell({ kind: 'source-gave', name, value: bytes })
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      await this.#end(name, offer, 'SHOAL_SOURCE_FAILED', `the source ${name} failed: ${text}`.slice(0, 500))
    }
  }

  async #end(name: string, offer: Offer, code: string, message: string): Promise<void> {
    if (this.#open.get(name) !== offer) return
    this.#open.delete(name)
    this.tell({ kind: 'source-over', name, code, message })
    offer.ended.resolve()
    try {
      // One that waits for its next item may never answer, and nobody waits for that.
      void offer.iterator.return?.()?.then(undefined, () => {})
    } catch {
      // It is over in any case.
    }
  }
}
