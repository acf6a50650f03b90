/**
 * Attaching a client whose caller does not wait for it any more.
 *
 * Not here: finding nodes (test/integration), and what is wrong with options (options.test.ts).
 */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { expect, test } from 'vitest'
import { connect } from '../../src/client/remote.ts'
import { createKey } from '../../src/node/key.ts'

const reason = new Error('enough')
const cancelled = { code: 'SHOAL_CANCELLED', cause: reason }

test('a client that nobody waits for is cancelled, before the search and in the middle of it', async () => {
  const aborting = new AbortController()
  // Whoever is there says nothing.
  const server = createServer((socket) => {
    socket.on('error', () => {})
    aborting.abort(reason)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const options = { key: createKey(), peers: [`/ip4/127.0.0.1/tcp/${port}`], mdns: false }
  await expect(connect({ ...options, signal: aborting.signal })).rejects.toMatchObject(cancelled)
  await expect(connect({ ...options, signal: aborting.signal })).rejects.toMatchObject(cancelled)
  await expect(connect({ ...options, hosted: true, signal: aborting.signal })).rejects.toMatchObject(
    cancelled
  )
  server.close()
})
