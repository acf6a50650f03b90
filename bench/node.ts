/**
 * One node in a process of its own: says where it listens, and answers what it uses and sees.
 *
 * Not here: how many there are and how they are started (nodes.ts).
 * It ends with its parent, so that a benchmark that was interrupted leaves nothing behind.
 */
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { type Session as InspectorSession, Session } from 'node:inspector/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createNode, readKey } from '../src/index.ts'
import type { NodeAnswer, NodeArguments, NodeRequest } from './nodes.ts'

const { keyFile, submits, ...options } = JSON.parse(process.argv[2] ?? '{}') as NodeArguments

process.on('disconnect', () => process.exit())
const node = await createNode({ ...options, key: await readKey(keyFile), mdns: false })
process.on('message', (request: NodeRequest) => {
  void answer(request).then((reply) => process.send?.(reply))
})
if (submits) await node.client.submit((value: number) => value, [1])
process.stdout.write(`${JSON.stringify({ id: node.id, addresses: node.addresses })}\n`)

let session: InspectorSession | undefined

async function answer({ ask, what, file = '' }: NodeRequest): Promise<NodeAnswer> {
  switch (what) {
    case 'usage': {
      const { user, system } = process.cpuUsage()
      return { ask, cpuMicros: user + system, rssBytes: process.memoryUsage.rss() }
    }
    case 'held': {
      // Buffers are swept in the background after the first time.
      collectGarbage()
      await sleep(500)
      collectGarbage()
      const { heapUsed, arrayBuffers } = process.memoryUsage()
      const files = await readdir(join(options.data, 'store'))
      const sizes = await Promise.all(
        files.map((name) => stat(join(options.data, 'store', name)).catch(() => undefined))
      )
      const diskBytes = sizes.reduce((sum, one) => sum + (one?.size ?? 0), 0)
      return { ask, rssBytes: process.memoryUsage.rss(), heapBytes: heapUsed + arrayBuffers, diskBytes }
    }
    case 'members':
      return { ask, members: (await node.client.members()).length }
    case 'profile': {
      session = new Session()
      session.connect()
      await session.post('Profiler.enable')
      await session.post('Profiler.start')
      return { ask }
    }
    case 'profiled': {
      const profiled = await session?.post('Profiler.stop')
      await mkdir(dirname(file), { recursive: true })
      await writeFile(file, JSON.stringify(profiled?.profile))
      return { ask }
    }
    case 'stop':
      await node.stop()
      return { ask }
    default:
      return what satisfies never
  }
}

function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
}
