/**
 * The one place where a core meets the world: feeds it what happened, and does what it says.
 *
 * Not here: decisions (core.ts and what it composes), sockets (transport.ts), disks (store.ts), threads (tasks/executor).
 * Everything that one turn of the event loop brought about leaves together: one frame for each peer, one write to the disk.
 */
import { performance } from 'node:perf_hooks'
import { readSaid } from '../client/misread.ts'
import type { ClientMessage, EntryMessage } from '../client/protocol.ts'
import { explainError } from '../errors.ts'
import type { ClientId, Digest, PeerId } from '../ids.ts'
import { unreachable } from '../machine.ts'
import type { Attendance } from '../tasks/effects.ts'
import type { Executor, ExecutorEvent } from '../tasks/executor/executor.ts'
import { recordKinds } from '../tasks/keeper.ts'
import { wrongKey } from './admission.ts'
import type { Blobs } from './blobs.ts'
import type { LocalClient } from './clients.ts'
import { CodeDoor } from './code-door.ts'
import { NodeCore } from './core.ts'
import { Data } from './data.ts'
import type { DataFiles } from './datafiles.ts'
import type { CoreEffect, CoreInput } from './effects.ts'
import { Guests } from './guests.ts'
import { Holding } from './holding.ts'
import { Journal } from './journal.ts'
import { gossipMessages, type PeerMessage, peerMessages, splitFrame } from './messages.ts'
import { Offers } from './offers.ts'
import { Outbox, rememberEncoded } from './outbox.ts'
import { messagePatience, recordPatience } from './patience.ts'
import { Provisions } from './provisions.ts'
import type { CoreOptions } from './settings.ts'
import type { Store } from './store.ts'
import { codeLookMs, Supply } from './supply.ts'
import { started, type Transport, type TransportEvent } from './transport.ts'
import { twinNote } from './twins.ts'

/** A timer that fires this late means that this node is slow, and must not call others dead. */
const lateMs = 100
/** Between two looks at the own addresses, which change when a laptop moves. */
const addressesEveryMs = 10_000
const keyAdvice = 'if this node should join that mesh, start it with a copy of the key file used there'

export interface DriverOptions extends Omit<CoreOptions, 'now' | 'reach'> {
  readonly store: Store
  readonly blobs: Blobs
  readonly files: DataFiles
  readonly executor: Executor | undefined
  /** Somebody who holds the key wants this node to hand over and stop. */
  readonly onLeave?: () => void
  readonly onNote: (text: string) => void
}

export class Driver {
  readonly core: NodeCore
  readonly offers = new Offers((news) => this.#step(news))
  readonly data: Data
  readonly guests: Guests
  readonly #options: DriverOptions
  readonly #supply: Supply
  readonly #holding: Holding
  readonly #outbox = new Outbox()
  readonly #locals = new Map<ClientId, LocalClient>()
  /** What clients said after code that is being written, in order. */
  readonly #door: CodeDoor
  #codeTimer: ReturnType<typeof setInterval> | undefined
  readonly #provisions: Provisions
  #transport: Transport | undefined
  /** For the network, until there is one. */
  #early: ((transport: Transport) => void)[] = []
  readonly #journal: Journal
  #timer: ReturnType<typeof setTimeout> | undefined
  #flushTimer: ReturnType<typeof setTimeout> | undefined
  #flushAt = Number.POSITIVE_INFINITY
  #timerAt = Number.NEGATIVE_INFINITY
  #addressesAt = 0
  #addresses = ''
  #isFlushing = false
  #isReplying = false
  #isStopped = false
  #localCount = 0

  constructor(options: DriverOptions) {
    this.#options = options
    const { store, blobs, onNote } = options
    const room = (id: ClientId): number => this.#outbox.room(id, !this.#locals.has(id) && this.#transport)
    this.core = new NodeCore({ ...options, room, now: performance.now() })
    this.#journal = new Journal(store)
    this.data = new Data({
      files: options.files,
      talkTo: async (peer) => await started(this.#transport).talkTo(peer),
      isNear: (peer) => this.#transport?.isNear(peer) === true,
      sources: (id, at) => this.core.stock.sources(id, at),
      areAll: (sources) => this.core.stock.areAll(sources, performance.now()),
      tell: (input) => this.#step(input),
      onNote
    })
    this.guests = new Guests(this, (engine, told) => options.executor?.tell?.(engine, told), onNote)
    this.#supply = new Supply({
      blobs,
      onNote,
      onDiskFailed: (reason) => this.diskFailed(reason),
      fetch: async (digest, peers) => await started(this.#transport).fetchBlob(digest, peers)
    })
    this.#provisions = new Provisions({
      supply: this.#supply,
      data: this.data,
      executor: options.executor,
      onEvent: (event) => this.#step(event)
    })
    this.#door = new CodeDoor({
      supply: this.#supply,
      pass: (client, messages) => this.#step({ kind: 'client-said', client, messages }),
      reply: (client, message) => this.#reply(client, message)
    })
    this.#holding = new Holding(this.#supply, (from, message) =>
      this.#step({ kind: 'received', from, messages: [message] })
    )
  }

  /** Reads back what the disk holds. First of all calls; no timer is set before all of it is here. */
  async restore(): Promise<void> {
    this.#step({ kind: 'data-here', ids: this.data.files.ids(), isRestored: true })
    for await (const records of this.#journal.read()) this.#step({ kind: 'restoring', records })
    this.#timerAt = Number.POSITIVE_INFINITY
    this.#step({ kind: 'restored' })
    const needs = (code: Digest): boolean =>
      this.core.keeper.needs(code) || this.#provisions.needs(code) || this.#door.needs(code)
    this.#codeTimer = setInterval(() => void this.#supply.letGo(needs), codeLookMs).unref()
  }

  /** From here on, what the core says reaches others. */
  connect(transport: Transport): void {
    this.#transport = transport
    for (const late of this.#early) late(transport)
    this.#early = []
    this.#lookAtAddresses(performance.now())
  }

  /** Hands over what it has and takes nothing new. What runs may finish, or is given back too. */
  leave(runs: 'finish' | 'give back'): void {
    this.#step({ kind: 'leave', runs })
  }

  /** Whether its owner leaves this machine to the mesh. */
  attend(attendance: Attendance): void {
    this.#options.executor?.suspend?.(attendance.availability !== 'open')
    this.#step({ kind: 'availability-changed', ...attendance })
  }

  stop(): void {
    this.#isStopped = true
    this.#supply.close()
    this.data.close()
    clearTimeout(this.#timer)
    clearTimeout(this.#flushTimer)
    clearInterval(this.#codeTimer)
  }

  /** Joins a client of this process; what it is told comes in a later turn. */
  joinClient(onMessages: (messages: readonly EntryMessage[]) => void): ClientId {
    const client = `${this.core.self}#local-${++this.#localCount}` as ClientId
    this.#locals.set(client, { onMessages, inbox: [] })
    this.#step({ kind: 'client-connected', client })
    return client
  }

  leaveClient(client: ClientId): void {
    if (!this.#locals.delete(client)) return
    this.#door.left(client)
    this.#step({ kind: 'client-disconnected', client })
  }

  clientSaid(client: ClientId, messages: readonly ClientMessage[]): void {
    this.#door.said(client, messages)
    this.#flushSoon()
  }

  readonly onTransport = (event: TransportEvent): void => {
    switch (event.kind) {
      case 'peer-frame':
        return this.#peerFrame(event.peer, event.frame)
      case 'client-frame':
        return this.#clientFrame(event.client, event.frame)
      case 'gossip':
        return this.#gossip(event.from, event.body)
      case 'dial-failed':
        return
      case 'refused':
        return this.#options.onNote(`refused ${event.peer}: ${event.reason}`)
      case 'seed-refused':
        return this.#options.onNote(`refused ${event.address}: ${wrongKey}; ${keyAdvice}`)
      case 'twin':
        return this.#options.onNote(twinNote(event.peer, event.peer === this.core.self))
      case 'client-connected':
        return this.#step({ kind: 'client-connected', client: event.client })
      case 'client-disconnected':
        this.#door.left(event.client)
        return this.#step(event)
      default:
        return this.#step(event)
    }
  }

  readonly onExecutor = (event: ExecutorEvent): void => {
    if (event.kind === 'engine-lost') this.#options.onNote(`engine ${event.slot} was lost: ${event.reason}`)
    this.#provisions.heard(event)
  }

  #step(input: CoreInput): void {
    if (this.#isStopped) return
    const now = performance.now()
    for (const effect of this.core.step(input, now)) this.#perform(effect, now)
    this.#flushSoon()
  }

  #perform(effect: CoreEffect, now: number): void {
    switch (effect.kind) {
      case 'send':
        return this.#outbox.toPeer(effect.to, effect.message, now + messagePatience(effect.message))
      case 'reply':
        return this.#reply(effect.client, effect.message)
      case 'persist':
        return this.#journal.add(effect, effect.id, now + recordPatience(effect.messages[0]))
      case 'run':
        return this.#provisions.run(effect)
      case 'cancel-run':
        return this.#provisions.cancel(effect.run, effect.indexes)
      case 'recall-run':
        return this.#provisions.recall(effect.run)
      case 'dial':
        return this.#network((transport) => transport.dial(effect.peer, effect.addresses))
      case 'drop-peer':
        return this.#network((transport) => transport.endPeer(effect.peer, effect.because))
      case 'publish': {
        const topic = effect.message.kind
        return this.#network((transport) => transport.publish(topic, gossipMessages.encode(effect.message)))
      }
      case 'pull-source':
        return this.offers.pull(effect.name)
      case 'fetch-data':
      case 'drop-data':
      case 'data-kept':
      case 'data-refused':
        return this.data.perform(effect)
      case 'order-engine':
        return this.#options.executor?.order?.(effect.slot, effect.order)
      case 'asked-to-leave':
        return this.#options.onLeave?.()
      case 'note':
        return this.#options.onNote(effect.text)
      default:
        return unreachable(effect)
    }
  }

  #network(act: (transport: Transport) => void): void {
    if (this.#transport === undefined) this.#early.push(act)
    else act(this.#transport)
  }

  #reply(client: ClientId, message: EntryMessage): void {
    // Somebody waits for it: it does not wait for the other frames of this turn.
    if (!this.#isReplying) queueMicrotask(this.#flush)
    this.#isReplying = true
    const local = this.#locals.get(client)
    if (local === undefined) this.#outbox.toClient(client, message)
    else local.inbox.push(message)
  }

  /** Ends a turn: what is due is written and sent, and told to clients here; for the rest there is a timer. */
  readonly #flush = (): void => {
    this.#isFlushing = false
    this.#isReplying = false
    if (this.#isStopped) return
    const now = performance.now()
    let next = this.#write(now)
    if (this.#transport !== undefined) next = Math.min(next, this.#outbox.flush(this.#transport, now))
    for (const local of this.#locals.values()) {
      if (local.inbox.length === 0) continue
      const messages = local.inbox
      local.inbox = []
      local.onMessages(messages)
    }
    this.#setFlushTimer(next, now)
    this.#setTimer()
  }

  /** Nothing that was written to it can be relied on. */
  diskFailed(reason: string): void {
    this.#step({ kind: 'persist-failed', reason })
  }

  #setFlushTimer(next: number, now: number): void {
    if (next >= this.#flushAt && this.#flushAt > now) return
    clearTimeout(this.#flushTimer)
    this.#flushAt = next
    if (next === Number.POSITIVE_INFINITY) return
    this.#flushTimer = setTimeout(this.#flush, Math.max(1, next - now))
  }

  /** Returns when the records that wait for company are due. */
  #write(now: number): number {
    if (this.#journal.dueAt > now) return this.#journal.dueAt
    this.#journal.write().then(
      (upTo) => this.#step({ kind: 'persisted', upTo }),
      (error: unknown) => this.#step({ kind: 'persist-failed', reason: explainError(error) })
    )
    return Number.POSITIVE_INFINITY
  }

  #setTimer(): void {
    const wakeAt = this.core.wakeAt()
    if (wakeAt === undefined || wakeAt >= this.#timerAt) return
    const now = performance.now()
    clearTimeout(this.#timer)
    // A timer counts from the start of this turn, and may fire a little early.
    const due = Math.max(now + 1, Math.ceil(wakeAt))
    this.#timerAt = due
    this.#timer = setTimeout(this.#wake, due - now)
  }

  readonly #wake = (): void => {
    const [now, due] = [performance.now(), this.#timerAt]
    this.#timerAt = Number.POSITIVE_INFINITY
    this.#step({ kind: 'slowed', delayMs: now - due > lateMs ? now - due : 0 })
    this.#step({ kind: 'wake' })
    if (now >= this.#addressesAt) this.#lookAtAddresses(now)
  }

  #lookAtAddresses(now: number): void {
    this.#addressesAt = now + addressesEveryMs
    const addresses = this.#transport?.addresses() ?? []
    const text = addresses.join(' ')
    if (text === this.#addresses) return
    this.#addresses = text
    this.#step({ kind: 'addresses-changed', addresses })
  }

  #peerFrame(from: PeerId, frame: Uint8Array): void {
    let messages: PeerMessage[]
    try {
      messages = splitFrame(frame).map((part) => {
        const message = peerMessages.parse(part)
        if (recordKinds.has(message.kind)) rememberEncoded(message, part)
        return message
      })
    } catch (error) {
      this.#options.onNote(`left ${from}: ${explainError(error)}`)
      return this.#transport?.dropPeer(from, explainError(error))
    }
    const ready = messages.filter((message) => !this.#holding.takes(from, message))
    if (ready.length > 0) this.#step({ kind: 'received', from, messages: ready })
  }

  #gossip(from: PeerId, body: Uint8Array): void {
    try {
      this.#step({ kind: 'gossiped', from, message: gossipMessages.parse(body) })
    } catch (error) {
      // The sender of gossip may be many hops away, so there is no stream to close.
      this.#options.onNote(`ignored gossip of ${from}: ${explainError(error)}`)
    }
  }

  #clientFrame(client: ClientId, frame: Uint8Array): void {
    let parts: Uint8Array[]
    try {
      parts = splitFrame(frame)
    } catch (error) {
      this.#options.onNote(`left client ${client}: ${explainError(error)}`)
      return this.#transport?.dropClient(client, explainError(error))
    }
    const { messages, answers, misread, reason } = readSaid(parts)
    this.clientSaid(client, messages)
    if (misread === 0) return
    this.#options.onNote(`could not read what client ${client} said: ${reason}`)
    // They leave before the stream is closed: a client that got no answer would say it again to its next entry.
    for (const answer of answers) this.#reply(client, answer)
    this.#transport?.misread(client, misread)
  }

  #flushSoon(): void {
    if (this.#isFlushing) return
    this.#isFlushing = true
    setImmediate(this.#flush)
  }
}
