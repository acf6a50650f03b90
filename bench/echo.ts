/**
 * The far end of raw streams: a bare libp2p host that sends every message back on the stream it came by, or swallows them.
 *
 * Not here: the near ends, and the clock (latency.ts, data.ts).
 * Its settings are those of every node, so that what it lacks is what the mesh adds.
 */
import { generateKeyPair } from '@libp2p/crypto/keys'
import { createHost } from '../src/node/host.ts'

export const ECHO_PROTOCOL = '/shoal-bench/echo/1'
/** Answers with one byte whenever `sinkBytes` more have come. */
export const SINK_PROTOCOL = '/shoal-bench/sink/1'
export const sinkBytes = 1 << 20

if (import.meta.main) {
  process.on('disconnect', () => process.exit())
  const identity = await generateKeyPair('Ed25519')
  const host = await createHost({ identity, listen: ['/ip4/127.0.0.1/tcp/0'], services: {} })
  await host.handle(ECHO_PROTOCOL, (stream) => {
    stream.addEventListener('message', ({ data }) => stream.send(data))
  })
  await host.handle(SINK_PROTOCOL, (stream) => {
    let have = 0
    stream.addEventListener('message', ({ data }) => {
      for (have += data.byteLength; have >= sinkBytes; have -= sinkBytes) stream.send(Uint8Array.of(1))
    })
  })
  await host.start()
  process.send?.(host.getMultiaddrs().map(String))
}
