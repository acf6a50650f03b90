/**
 * What all commands share that need a mesh: its key, the way to it, and when to give up.
 *
 * Not here: finding a node (src/client/remote.ts).
 */
import { existsSync } from 'node:fs'
import { hostname, userInfo } from 'node:os'
import type { Client } from '../src/client/types.ts'
import { ShoalError } from '../src/errors.ts'
import { type MeshKey, readKey } from '../src/node/key.ts'
import { given, milliseconds } from './arguments.ts'

export const keyFile = 'lab.key'

export const meshFlags = {
  key: { type: 'string' },
  peer: { type: 'string', multiple: true },
  mdns: { type: 'boolean', default: true },
  timeout: { type: 'string' },
  json: { type: 'boolean', default: false }
} as const

export const meshUsage = `  --key FILE         the mesh key (default: $SHOAL_KEY, then ./${keyFile})
  --peer ADDRESS     a node to ask, repeatable (default: $SHOAL_PEERS, then this machine, then the local network)
  --no-mdns          do not look in the local network
  --timeout SECONDS  how long to look for a node (default 10)
`

export interface MeshValues {
  readonly key?: string | undefined
  readonly peer?: readonly string[] | undefined
  readonly mdns: boolean
  readonly timeout?: string | undefined
}

/** Rejects with SHOAL_BAD_KEY or SHOAL_BAD_OPTION. */
export async function findKey(file: string | undefined): Promise<MeshKey> {
  const found = file ?? (process.env.SHOAL_KEY || (existsSync(keyFile) ? keyFile : undefined))
  if (found !== undefined) return await readKey(found)
  const advice = `give --key FILE or set $SHOAL_KEY, or make one with \`shoal init ${keyFile}\``
  throw new ShoalError('SHOAL_BAD_KEY', `no mesh key, and no ./${keyFile} here; ${advice}`)
}

/** Rejects with SHOAL_NO_MESH, SHOAL_REFUSED, SHOAL_BAD_KEY or SHOAL_BAD_OPTION. */
export async function reachMesh(values: MeshValues, signal?: AbortSignal): Promise<Client> {
  const { peer: peers, mdns } = values
  const timeout = milliseconds('--timeout', values.timeout)
  const key = await findKey(values.key)
  // Loaded late, so that who has no key is told at once.
  const { connect } = await import('../src/client/remote.ts')
  try {
    return await connect({ key, mdns, submitter: submitter(), ...given({ peers, timeout, signal }) })
  } catch (error) {
    if (signal?.aborted !== true) throw error
    throw new ShoalError('SHOAL_CANCELLED', 'ended before a node was reached', { cause: error })
  }
}

/** All commands of one person at one machine share. */
function submitter(): string {
  const name = ((): string => {
    try {
      return userInfo().username
    } catch {
      return 'somebody'
    }
  })()
  return `${name}@${hostname()}`.slice(0, 128)
}

/** Asks the mesh one thing. */
export async function askMesh<T>(values: MeshValues, ask: (client: Client) => Promise<T>): Promise<T> {
  const client = await reachMesh(values)
  try {
    return await ask(client)
  } finally {
    await client.close()
  }
}
