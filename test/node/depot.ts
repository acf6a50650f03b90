/**
 * Depots for tests: nodes that have nothing but data, over real sockets, with a core that is content with one copy.
 *
 * Not here: tests, and nodes without data (helpers.ts).
 */
import type { PeerId } from '../../src/ids.ts'
import { Data } from '../../src/node/data.ts'
import { DataFiles } from '../../src/node/datafiles.ts'
import { createKey } from '../../src/node/key.ts'
import type { Talk } from '../../src/node/talk.ts'
import { openTemporary } from '../../src/node/temporary.ts'
import { connect, ended, startNode, type TestNode } from './helpers.ts'

const key = createKey()

export type Serve = (data: Data, talk: Talk, node: TestNode, from: PeerId | undefined) => Promise<void>

/**
 * A node that has nothing of the mesh but its data. `peers`: whom it asks, in this order. `areAll`: they are all who could have it. `wants`: its core has
 * what is put fetched at once, as that of one of its keepers does. `isFull`: it refuses what is put. `told`: what the core hears
 * of arrivals.
 */
export async function depot({
  peers = [] as TestNode[],
  serve = ((data, talk, _node, from) => data.serve(talk, from)) as Serve,
  wants = false,
  areAll = false,
  isFull = false
} = {}) {
  const { folder, close } = await openTemporary()
  const files = await DataFiles.open(folder, { isTemporary: true })
  ended({ stop: () => files.close().then(close) })
  const node: TestNode = await startNode(key, { serveData: (talk, from) => serve(data, talk, node, from) })
  const { promise: noted, resolve } = Promise.withResolvers<string>()
  const notes: string[] = []
  let failures = 0
  const told: string[] = []
  const data: Data = new Data({
    files,
    talkTo: (peer) => node.transport.talkTo(peer),
    isNear: (peer) => node.transport.isNear(peer),
    sources: () => peers.map(({ transport }) => transport.self),
    areAll: () => areAll,
    // One copy is enough here.
    tell: (input) => {
      if (input.kind === 'data-put' && wants) data.perform({ kind: 'fetch-data', id: input.id, at: [] })
      if (input.kind === 'data-put') told.push(files.has(input.id) ? 'put, on disk' : 'put')
      if (input.kind === 'data-here') told.push('here')
      if (input.kind === 'data-failed') failures++
      if (input.kind !== 'data-put') return
      const { ask } = input
      queueMicrotask(() =>
        data.perform(isFull ? { kind: 'data-refused', ask } : { kind: 'data-kept', ask, copies: 1 })
      )
    },
    onNote: (text) => {
      notes.push(text)
      resolve(text)
    }
  })
  ended({ stop: () => data.close() })
  for (const peer of peers) await connect(node, peer)
  const moved = (way: 'in' | 'out'): number => node.transport.counters()[`data-bytes-${way}`] ?? 0
  return { node, data, files, moved, noted, notes, told, failures: () => failures }
}

/** What depots hear from those who open streams to them. */
export function overheard(): { readonly said: string[]; readonly serve: Serve } {
  const said: string[] = []
  const serve: Serve = (data, talk, _node, from) => {
    const word = talk.word.bind(talk)
    talk.word = async (patience) => {
      const next = await word(patience)
      said.push(next.kind)
      return next
    }
    return data.serve(talk, from)
  }
  return { said, serve }
}
