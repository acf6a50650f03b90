/**
 * Calls of engines by the tasks of this engine: finds those that can never begin, because their engines wait for them, and refuses one.
 *
 * Not here: calls of which that is known beforehand (nest.ts).
 * A wait-for graph, made when a call has waited for a while: engines that wait for a call that nobody has begun are held up
 * with what it waits for. What nodes say is of different moments, so only what two looks have seen counts: all of it waited
 * in the moment between them. Of calls that wait for each other the one whose job has the least id is refused, by its own engine.
 */
import { ShoalError } from '../errors.ts'
import type { JobId } from '../ids.ts'
import type { OpenCall } from './answers.ts'
import type { End } from './endings.ts'

/** A call that is open for so long is looked for, and again whenever it is twice as old; at least every `lookEveryMaxMs`. */
const lookAfterMs = 1_000
const lookEveryMaxMs = 30_000

/** The job of a call. */
export interface Call {
  readonly id: JobId
  readonly end: End
  abandon(error: Error): void
}

interface Watched {
  readonly call: Call
  readonly since: number
  lookAt: number
}

export class Calls {
  readonly #look: () => Promise<readonly OpenCall[]>
  readonly #open = new Set<Watched>()
  #timer: ReturnType<typeof setTimeout> | undefined

  /** `look` asks the mesh for all calls that nobody has begun. */
  constructor(look: () => Promise<readonly OpenCall[]>) {
    this.#look = look
  }

  watch(call: Call): void {
    if (call.end.isOver) return
    const since = performance.now()
    const watched = { call, since, lookAt: since + lookAfterMs }
    this.#open.add(watched)
    call.end.on((change) => {
      if (change === 'over') this.#open.delete(watched)
    })
    this.#lookLater()
  }

  #lookLater(): void {
    if (this.#timer !== undefined || this.#open.size === 0) return
    const at = Math.min(...[...this.#open].map(({ lookAt }) => lookAt))
    this.#timer = setTimeout(
      () => {
        this.#refuse()
          // Without an entry nothing is known; the next look follows.
          .catch(() => {})
          .finally(() => {
            this.#timer = undefined
            this.#lookLater()
          })
      },
      Math.max(0, at - performance.now())
    )
    this.#timer.unref()
  }

  async #refuse(): Promise<void> {
    const now = performance.now()
    const due = [...this.#open].filter(({ lookAt }) => lookAt <= now)
    if (due.length === 0) return
    for (const one of due) one.lookAt = now + Math.min(now - one.since, lookEveryMaxMs)
    const before = await this.#look()
    if (!this.#isHopeless(before)) return
    const again = new Set((await this.#look()).map(({ job }) => job))
    const both = before.filter(({ job }) => again.has(job))
    for (const { call } of [...this.#open])
      if (isToRefuse(call.id, both)) call.abandon(refusal(call.id, both))
  }

  #isHopeless(calls: readonly OpenCall[]): boolean {
    return [...this.#open].some(({ call }) => isToRefuse(call.id, calls))
  }
}

/** Whether none of its engines can begin it before it has ended, and no other call that waits for it is to be refused first. */
export function isToRefuse(job: string, calls: readonly OpenCall[]): boolean {
  const own = calls.find((call) => call.job === job)
  if (own === undefined) return false
  const held = heldUpWith(own, calls)
  if (!isHeldUp(own, held)) return false
  return calls.every(
    (other) => other.job >= job || !isHeldUp(other, held) || !isHeldUp(own, heldUpWith(other, calls))
  )
}

/** The engines that cannot end what they do before this call has ended. */
function heldUpWith(call: OpenCall, calls: readonly OpenCall[]): Set<string> {
  const held = new Set(call.around)
  for (let size = 0; size < held.size; ) {
    size = held.size
    for (const other of calls) if (isHeldUp(other, held)) for (const engine of other.around) held.add(engine)
  }
  return held
}

const isHeldUp = ({ targets }: OpenCall, held: ReadonlySet<string>): boolean =>
  targets.every((target) => held.has(target))

function refusal(job: string, calls: readonly OpenCall[]): ShoalError {
  const who = calls.find((call) => call.job === job)?.targets.join(', ')
  return new ShoalError(
    'SHOAL_OWN_ENGINE',
    `a task calls an engine (${who}) whose task waits for this one, directly or through others; let one of them end before it is called`
  )
}
