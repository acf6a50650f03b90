/**
 * The far end of the raw echo: a bare libp2p host that sends every message back on the stream it came by.
 *
 * Not here: the near end, and the clock (latency.ts).
 * Its settings are those of every node, so that what it lacks is what the mesh adds.
 */
import { generateKeyPair } from '@libp2p/crypto/keys'
import { createHost } from '../src/node/host.ts'

export const ECHO_PROTOCOL = '/shoal-bench/echo/1'

if (import.meta.main) {
  process.on('disconnect', () => process.exit())
  const identity = await generateKeyPair('Ed25519')
  const host = await createHost({ identity, listen: ['/ip4/127.0.0.1/tcp/0'], services: {} })
  await host.handle(ECHO_PROTOCOL, (stream) => {
    stream.addEventListener('message', ({ data }) => stream.send(data))
  })
  await host.start()
  process.send?.(host.getMultiaddrs().map(String))
}
