/**
 * How a client finds a node on its own machine: a small file per node, named by mesh and peer.
 *
 * Not here: the network (mDNS and bootstrap are in host.ts and seeds.ts). A file that outlived its node does no harm:
 * nobody answers at its addresses, and the client tries the next.
 */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import type { PeerId } from '../ids.ts'
import { type MeshKey, meshTag } from './key.ts'

/** Files that one search reads. */
const readMax = 64

/** Of this user alone, so that nobody else can lead clients astray; admission would stop them in any case. */
function folderOf(key: MeshKey): string {
  const { uid, username } = userInfo()
  return join(tmpdir(), `shoal-${uid < 0 ? username : uid}`, meshTag(key))
}

/** Says that a node listens there, until the returned function is called. A folder that cannot be written is no reason to fail. */
export async function lightBeacon(
  key: MeshKey,
  peer: PeerId,
  addresses: readonly string[]
): Promise<() => Promise<void>> {
  const folder = folderOf(key)
  const file = join(folder, peer)
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await writeFile(file, addresses.join('\n'), { mode: 0o600 })
  } catch {
    return async () => {}
  }
  return () => rm(file, { force: true })
}

/** Addresses of nodes of this mesh and user on this machine, loopback first; some may be gone. */
export async function findBeacons(key: MeshKey): Promise<string[]> {
  try {
    const folder = folderOf(key)
    const names = (await readdir(folder)).slice(0, readMax)
    const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8').catch(() => '')))
    return texts.flatMap((text) =>
      text
        .split('\n')
        .filter((line) => line.startsWith('/'))
        .slice(0, 1)
    )
  } catch {
    return []
  }
}
