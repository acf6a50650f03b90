/**
 * The near end of raw streams: a bare libp2p host that dials one in another process.
 *
 * Not here: the far end (echo.ts), and what is measured over it.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Stream } from '@libp2p/interface'
import { createHost, parseAddress } from '../src/node/host.ts'

export interface Raw extends AsyncDisposable {
  readonly stream: Stream
}

export async function openRaw(protocol: string): Promise<Raw> {
  const far: ChildProcess = fork(join(import.meta.dirname, 'echo.ts'), { execPath: process.execPath })
  const [addresses] = (await once(far, 'message')) as [string[]]
  const host = await createHost({ identity: await generateKeyPair('Ed25519'), listen: [], services: {} })
  await host.start()
  const stream = await host.dialProtocol(
    addresses.map((address) => parseAddress(address)),
    protocol
  )
  const dispose = async (): Promise<void> => {
    await host.stop()
    const ended = once(far, 'exit')
    far.disconnect()
    await ended
  }
  return { stream, [Symbol.asyncDispose]: dispose }
}
