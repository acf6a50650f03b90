/**
 * A node as a process of its own, for the integration tests. It says where it listens on stdout, and the rest on stderr.
 *
 * Not here: the `shoal` command, whose tests start it as users do.
 */
import { flushCompileCache } from 'node:module'
import { createNode, readKey } from '../../src/index.ts'

const { key, ...options } = JSON.parse(process.argv[2] ?? '{}')
try {
  const node = await createNode({
    listen: ['/ip4/127.0.0.1/tcp/0'],
    ...options,
    key: await readKey(key),
    mdns: false,
    onNote: (text) => console.error(text)
  })
  console.log(JSON.stringify({ id: node.id, address: node.addresses[0] }))
  // Nodes of tests end by being killed, and would leave nothing for the next one: each would compile all of it again.
  flushCompileCache()
} catch (error) {
  console.error(error)
  process.exitCode = 1
}
