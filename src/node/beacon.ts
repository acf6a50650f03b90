/**
 * How a client finds a node on its own machine: a small file per node, named by mesh and peer.
 *
 * Not here: the network (mDNS and bootstrap are in host.ts and seeds.ts). A file that outlived its node does no harm:
 * nobody answers at its addresses, and the client tries the next.
 */
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import type { PeerId } from '../ids.ts'
import { type MeshKey, meshTag } from './key.ts'

/** Files that one search reads, the newest; a node that starts removes the others. */
const beaconsMax = 64

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
    // Nodes that were killed leave theirs behind.
    for (const stale of (await newest(folder)).slice(beaconsMax)) await rm(stale, { force: true })
  } catch {
    return async () => {}
  }
  return () => rm(file, { force: true })
}

/** One address for each node of this mesh and user on this machine, newest first; some may be gone. */
export async function findBeacons(key: MeshKey): Promise<string[]> {
  try {
    const files = (await newest(folderOf(key))).slice(0, beaconsMax)
    const texts = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')))
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

async function newest(folder: string): Promise<string[]> {
  const files = (await readdir(folder)).map((name) => join(folder, name))
  const times = await Promise.all(
    files.map((file) =>
      stat(file).then(
        ({ mtimeMs }) => mtimeMs,
        () => 0
      )
    )
  )
  const at = new Map(files.map((file, i) => [file, times[i] ?? 0]))
  return files.sort((a, b) => (at.get(b) ?? 0) - (at.get(a) ?? 0))
}
