/**
 * The engines of the mesh as a client sees them, and which of those that it waits for are gone.
 *
 * Not here: who is a member (routing/membership.ts). The entry is asked, and only while somebody waits.
 * A member may be away for a moment, because its stream broke and is made anew; so it is gone when it was missing twice.
 */
import { ShoalError } from '../../errors.ts'
import type { EngineOrder } from '../../tasks/engine-orders.ts'
import type { MemberInfo } from '../answers.ts'
import { refuseAround } from '../nest.ts'

export interface EngineInfo {
  /** `<node>/<slot>` */
  readonly id: string
  readonly node: string
  readonly slot: number
  readonly zone: string
  readonly labels: Readonly<Record<string, string>>
}

/** Between two looks while calls wait. */
const lookEveryMs = 750
/** Looks at which it was missing. */
const missingMax = 2

interface Watched {
  readonly engine: EngineInfo
  missing: number
  readonly lost: () => void
}

/** In the order of their ids. */
export function enginesOf(members: readonly MemberInfo[]): EngineInfo[] {
  return [...members]
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .flatMap(({ id: node, slots, zone, labels }) =>
      Array.from({ length: slots }, (_, slot) => ({ id: `${node}/${slot}`, node, slot, zone, labels }))
    )
}

export class Presence {
  readonly #members: () => Promise<MemberInfo[]>
  readonly #order: (order: EngineOrder, engine: string) => Promise<boolean>
  readonly #around: () => readonly string[]
  readonly #watched = new Set<Watched>()
  #timer: ReturnType<typeof setTimeout> | undefined

  /** `order` resolves with whether the engine's node did it; `around`: the engines that wait for who asks now. */
  constructor(
    members: () => Promise<MemberInfo[]>,
    order: (order: EngineOrder, engine: string) => Promise<boolean>,
    around: () => readonly string[] = () => []
  ) {
    this.#members = members
    this.#order = order
    this.#around = around
  }

  async engines(): Promise<EngineInfo[]> {
    return enginesOf(await this.#members())
  }

  /** All of them, also if some are gone. Rejects with SHOAL_NOT_FOUND if one is. */
  async order(order: EngineOrder, engines: readonly EngineInfo[]): Promise<void> {
    const done = await Promise.all(engines.map(({ id }) => this.#order(order, id)))
    const gone = engines.filter((_, at) => !done[at]).map(({ id }) => id)
    if (gone.length > 0)
      throw new ShoalError('SHOAL_NOT_FOUND', `not up any more: ${gone.join(', ')}; see engines()`)
  }

  /** Throws SHOAL_OWN_ENGINE if one of them waits for who calls it, before any is called. */
  refuseAround(engines: readonly EngineInfo[]): void {
    const around = this.#around()
    for (const { id } of engines) refuseAround([id], around)
  }

  /** The promise resolves when the engine is gone. Call `end` when nobody waits any more. */
  watch(engine: EngineInfo): { readonly promise: Promise<void>; end(): void } {
    const { promise, resolve } = Promise.withResolvers<void>()
    const watched: Watched = { engine, missing: 0, lost: resolve }
    this.#watched.add(watched)
    this.#lookLater()
    return { promise, end: () => void this.#watched.delete(watched) }
  }

  #lookLater(): void {
    if (this.#timer !== undefined || this.#watched.size === 0) return
    this.#timer = setTimeout(() => {
      this.#look()
        // Whoever waits hears from the call itself that no entry answers any more.
        .catch(() => {})
        .finally(() => {
          this.#timer = undefined
          this.#lookLater()
        })
    }, lookEveryMs)
    this.#timer.unref()
  }

  async #look(): Promise<void> {
    const there = new Set((await this.engines()).map(({ id }) => id))
    for (const watched of this.#watched) {
      watched.missing = there.has(watched.engine.id) ? 0 : watched.missing + 1
      if (watched.missing >= missingMax) watched.lost()
    }
  }
}
