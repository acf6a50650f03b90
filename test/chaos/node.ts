/**
 * One node of a chaos run, in a process of its own: it can be asked what would be lost with it, and told to cut its sockets.
 *
 * Not here: when it is killed, stopped or cut (faults.ts). It ends with its parent, so that nothing is left behind.
 * What it holds is read off its core through a tap on `step`, the one place that everything passes.
 */
import { subscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import type { ShardKey } from '../../src/ids.ts'
import { createNode, readKey } from '../../src/index.ts'
import { NodeCore } from '../../src/node/core.ts'
import type { CoreEffect, CoreInput } from '../../src/node/effects.ts'
import { ownerBy } from '../../src/tasks/keepers.ts'
import type { HeldWork, NodeArguments, NodeRequest } from './nodes.ts'

const { keyFile, ...options } = JSON.parse(process.argv[2] ?? '{}') as NodeArguments

const running = new Map<number, { key: ShardKey; first: number; indexes: Set<number> }>()
let core: NodeCore | undefined

function heard(input: CoreInput): void {
  if (input.kind === 'engine-lost' && input.index !== undefined)
    running.get(input.run)?.indexes.delete(input.index)
  if (input.kind !== 'ended') return
  for (const index of input.outcomes.indexes) running.get(input.run)?.indexes.delete(index)
  if (input.done) running.delete(input.run)
}

function said(effects: readonly CoreEffect[]): void {
  for (const effect of effects) {
    if (effect.kind !== 'run') continue
    const { run, key, first, inputs } = effect
    running.set(run, { key, first, indexes: new Set(inputs.indexes) })
  }
}

const { step } = NodeCore.prototype
NodeCore.prototype.step = function (this: NodeCore, input, now) {
  core = this
  heard(input)
  const effects = step.call(this, input, now)
  said(effects)
  return effects
}

/** What runs here, and what waits for an outcome in shards that this node proposes for. */
function held(): HeldWork {
  const ran = [...running.values()].flatMap(({ key, first, indexes }) => {
    const [job = ''] = key.split('/')
    return [...indexes].map((index) => `${job}:${first + index}`)
  })
  const owned: string[] = []
  for (const key of core?.keeper.keys() ?? []) {
    const record = core?.keeper.record(key)
    if (core === undefined || record === undefined || core.keeper.isSettled(key)) continue
    if (ownerBy(record, core.keeper.promised(key)) !== core.self) continue
    const outcomes = core.keeper.outcomes(key)
    const [job = ''] = key.split('/')
    for (let index = 0; index < record.count; index++)
      if (!outcomes.has(index)) owned.push(`${job}:${record.first + index}`)
  }
  return { ran, owned }
}

const sockets = new Set<Socket>()
const gather = (message: unknown): void => {
  const { socket } = message as { socket: Socket }
  sockets.add(socket)
  socket.once('close', () => sockets.delete(socket))
}
subscribe('net.client.socket', gather)
subscribe('net.server.socket', gather)

process.on('disconnect', () => process.exit())
process.on('message', ({ ask, what }: NodeRequest) => {
  if (what === 'held') process.send?.({ ask, held: held() })
  else {
    let cut = 0
    // A reset and no orderly end: what was under way is lost at both ends.
    for (const socket of sockets) {
      if (Math.random() >= 0.5) continue
      socket.resetAndDestroy()
      cut++
    }
    process.send?.({ ask, cut })
  }
})

const onNote = (text: string): void => void process.stderr.write(`${text}\n`)
const node = await createNode({ ...options, key: await readKey(keyFile), mdns: false, onNote })
process.send?.({ ask: 0, id: node.id, addresses: node.addresses })
