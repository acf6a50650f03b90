/**
 * Data that tasks put and get by their client: in pieces, each of which is asked for, so nobody's memory holds the whole.
 *
 * Not here: where data lies (data.ts), and the engine's end (client/errands.ts). What an engine leaves open is closed with it.
 */
import type { OwnData } from '../client/data.ts'
import { isErrorCode, ShoalError } from '../errors.ts'
import { isDataId } from '../ids.ts'
import type { Errand, ErrandOf, Told } from '../tasks/executor/guest.ts'
import { chunkBytes } from './chunks.ts'
import type { Reading } from './reading.ts'

/** Transfers of one engine at a time; the next one fails with SHOAL_BUSY. */
const transfersMax = 64
const copiesMax = 15
const pinMsMax = 0xffffffff

interface Put {
  readonly kind: 'put'
  give(piece: Uint8Array | undefined): Promise<void>
  fail(error: Error): void
  readonly done: Promise<unknown>
}

type Transfer = Put | { readonly kind: 'get'; readonly chunks: Reading }

export class Errands {
  readonly #data: () => OwnData
  readonly #answer: (engine: number, told: Told) => void
  readonly #openMax: number
  readonly #open = new Map<number, Map<number, Transfer>>()

  constructor(
    data: () => OwnData,
    answer: (engine: number, told: Told) => void,
    openMax: number = transfersMax
  ) {
    this.#openMax = openMax
    this.#data = data
    this.#answer = answer
  }

  run(engine: number, errand: Errand): void {
    const { ask } = errand
    const open = this.#open.get(engine) ?? new Map<number, Transfer>()
    this.#open.set(engine, open)
    const isGone = (): boolean => this.#open.get(engine) !== open
    this.#do(open, errand, isGone).then(
      (value) => this.#answer(engine, { kind: 'done', ask, value, error: undefined }),
      (error: unknown) =>
        this.#answer(engine, { kind: 'done', ask, value: undefined, error: refusalOf(error) })
    )
  }

  gone(engine: number): void {
    for (const one of this.#open.get(engine)?.values() ?? []) {
      if (one.kind === 'get') void one.chunks.close().catch(() => {})
      else one.fail(new ShoalError('SHOAL_CANCELLED', 'the engine has ended'))
    }
    this.#open.delete(engine)
  }

  async #do(open: Map<number, Transfer>, errand: Errand, isGone: () => boolean): Promise<unknown> {
    switch (errand.what) {
      case 'put':
        this.#room(open)
        return this.#begin(open, errand, this.#put(errand))
      case 'open': {
        this.#room(open)
        const id = wanted(errand.id)
        const chunks = await this.#data().chunks(id, isGone)
        if (isGone()) return await chunks.close()
        return this.#begin(open, errand, { kind: 'get', chunks })
      }
      case 'piece':
        return piece(open, errand)
      case 'read': {
        const one = open.get(errand.of)
        if (one?.kind !== 'get') throw unknown()
        return one.chunks.read(errand.index)
      }
      case 'close': {
        const one = open.get(errand.of)
        open.delete(errand.of)
        if (one?.kind === 'put') one.fail(new ShoalError('SHOAL_CANCELLED', 'its source failed'))
        return one?.kind === 'get' ? one.chunks.close() : undefined
      }
      case 'free':
        return this.#data().free(errand.ids.map(wanted))
    }
  }

  #room(open: ReadonlyMap<number, Transfer>): void {
    if (open.size < this.#openMax) return
    throw new ShoalError('SHOAL_BUSY', `an engine or an app may have ${this.#openMax} transfers at a time`)
  }

  #begin(open: Map<number, Transfer>, { ask }: Errand, transfer: Transfer): void {
    open.set(ask, transfer)
  }

  #put({ pinMs, copies, isForJob }: ErrandOf<'put'>): Put {
    const within = (value: number, most: number): boolean =>
      Number.isInteger(value) && value >= 0 && value <= most
    if (!within(pinMs, pinMsMax) || !within(copies, copiesMax)) throw unknown()
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
    const writer = writable.getWriter()
    const done = this.#data().put(readable, { pinMs, copies, isForJob: isForJob === true })
    done.catch((error: unknown) => writer.abort(error)).catch(() => {})
    return {
      kind: 'put',
      give: (one) => (one === undefined ? writer.close() : writer.write(one)),
      fail: (error) => void writer.abort(error).catch(() => {}),
      done
    }
  }
}

async function piece(open: Map<number, Transfer>, { of, bytes }: ErrandOf<'piece'>): Promise<unknown> {
  const one = open.get(of)
  if (one?.kind !== 'put') throw unknown()
  if (bytes !== undefined && !(bytes instanceof Uint8Array && bytes.byteLength <= chunkBytes)) throw unknown()
  try {
    await one.give(bytes)
  } catch (error) {
    open.delete(of)
    throw error
  }
  if (bytes !== undefined) return undefined
  open.delete(of)
  return one.done
}

/** User code shares the engine. */
function wanted(id: string): Parameters<OwnData['chunks']>[0] {
  if (typeof id === 'string' && isDataId(id)) return id
  throw unknown()
}

const unknown = (): ShoalError => new ShoalError('SHOAL_BAD_MESSAGE', 'this is no errand about data')

function refusalOf(error: unknown): { code: string; message: string } {
  const { code, message } = Object(error) as Partial<ShoalError>
  return {
    code: code !== undefined && isErrorCode(code) ? code : 'SHOAL_DISK',
    message: String(message ?? error)
  }
}
