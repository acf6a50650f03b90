/**
 * Folders for what nobody needs once this process is gone, and the end of those that other processes left behind.
 *
 * Not here: what lies in them.
 * A folder whose process lives answers: the process listens on a socket in it, which the system closes with the process,
 * however that ends. So nobody is judged by a number that another process may have by now, or that means another one in
 * another container. A folder gets the name by which it can be found only when it answers. Where there are no such sockets
 * (Windows, very long paths) it never gets that name, and stays.
 */
import { mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'

const prefix = 'shoal-temp-'
const socketName = 'alive'
/** The system's limit of such a path; beyond it some cut it silently. */
const socketCharsMax = 100

export interface Temporary {
  readonly folder: string
  /** Removes it with all that is in it. */
  close(): Promise<void>
}

/** A new folder of this user alone. Rejects as the file system does. */
export async function openTemporary(base = tmpdir()): Promise<Temporary> {
  const begun = await mkdtemp(join(base, 'shoal-'))
  const server = await listen(join(begun, socketName))
  const folder = server === undefined ? begun : join(base, prefix + basename(begun).slice('shoal-'.length))
  if (server !== undefined) await rename(begun, folder)
  return {
    folder,
    close: async () => {
      server?.close()
      await rm(folder, { recursive: true, force: true })
    }
  }
}

/** Removes what processes left that are gone, of this user as far as others may not be touched. Never rejects. */
export async function sweepTemporary(base = tmpdir()): Promise<void> {
  const names = await readdir(base).catch(() => [])
  const folders = names.filter((name) => name.startsWith(prefix)).map((name) => join(base, name))
  const sweep = async (folder: string): Promise<void> => {
    if (await isLeft(join(folder, socketName))) await rm(folder, { recursive: true, force: true })
  }
  await Promise.allSettled(folders.map(sweep))
}

async function listen(path: string): Promise<Server | undefined> {
  if (process.platform === 'win32' || Buffer.byteLength(path) > socketCharsMax) return undefined
  const { promise, resolve } = Promise.withResolvers<Server | undefined>()
  const server = createServer((socket) => socket.destroy())
  server.on('error', () => resolve(undefined))
  server.listen(path, () => resolve(server.unref()))
  return await promise
}

/** Nobody listens any more. Whatever else goes wrong tells nothing. */
async function isLeft(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = connect(path)
  socket.on('connect', () => resolve(false))
  socket.on('error', ({ code }: NodeJS.ErrnoException) =>
    resolve(code === 'ECONNREFUSED' || code === 'ENOENT')
  )
  return await promise.finally(() => socket.destroy())
}
