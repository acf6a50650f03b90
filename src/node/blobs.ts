/**
 * Blobs on disk: modules and large values in files that are named by the SHA-256 of their bytes.
 *
 * Not here: how a blob comes from another node (exchange.ts), how a module is run (tasks/executor).
 * A name that is a hash cannot go stale, so a file is written once, completely, and never again.
 */
import { createHash } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { explainError, ShoalError } from '../errors.ts'
import { type Digest, isDigest } from '../ids.ts'
import { FolderSync } from './folder-sync.ts'
import { openTemporary, type Temporary } from './temporary.ts'

/** Bytes of one blob; more is refused with SHOAL_BAD_MESSAGE. */
export const blobBytesMax = 16 * 1024 * 1024

const EXTENSION = '.mjs'
const UNFINISHED = '.tmp'

export interface Blobs {
  /** Resolves when the blob is durable. Rejects with SHOAL_BAD_MESSAGE (wrong digest, too large) or SHOAL_DISK. */
  put(bytes: Uint8Array, digest?: Digest): Promise<Digest>
  /** In a temporary folder, for a disk that takes nothing more: can be run and read, but does not count as kept. Rejects with SHOAL_DISK. */
  lend(bytes: Uint8Array): Promise<Digest>
  read(digest: Digest): Promise<Uint8Array | undefined>
  /** On disk, for good. */
  has(digest: Digest): boolean
  /** On disk or lent. */
  isHere(digest: Digest): boolean
  /** On disk or lent. */
  all(): Digest[]
  /** It is not here any more when this returns; resolves when its file is gone. Never rejects: at worst the file is found again. */
  remove(digest: Digest): Promise<void>
  /** Where the file is, or would be. */
  path(digest: Digest): string
  close(): Promise<void>
}

export function digestOf(bytes: Uint8Array): Digest {
  return createHash('sha256').update(bytes).digest('base64url') as Digest
}

/**
 * In `<folder>/blobs`. A file whose bytes are not what its name says is removed,
 * and noted: others have it too. Rejects with SHOAL_DISK.
 */
export async function openBlobs(folder: string, onNote: (text: string) => void = () => {}): Promise<Blobs> {
  try {
    const path = join(folder, 'blobs')
    await mkdir(path, { recursive: true })
    const known = new Set<Digest>()
    for (const name of await readdir(path)) {
      const digest = name.slice(0, -EXTENSION.length)
      if (name.endsWith(EXTENSION) && isDigest(digest)) {
        if (digestOf(await readFile(join(path, name))) === digest) known.add(digest)
        else {
          onNote(`code ${digest.slice(0, 8)} is damaged on this disk, and is fetched again when it is needed`)
          await rm(join(path, name), { force: true })
        }
      }
      // A crash in mid-write leaves these; nothing refers to them.
      else if (name.endsWith(UNFINISHED)) await rm(join(path, name), { force: true })
    }
    return new BlobFiles(path, known)
  } catch (error) {
    throw diskError(`blobs cannot be opened in ${folder}`, error)
  }
}

class BlobFiles implements Blobs {
  private readonly folder: string
  private readonly known: Set<Digest>
  private readonly names: FolderSync
  private readonly writing = new Map<Digest, Promise<void>>()
  /** What comes again waits until the old file is gone. */
  private readonly removing = new Map<Digest, Promise<void>>()
  private readonly lent = new Set<Digest>()
  private lentTo: Promise<Temporary> | undefined
  /** Its folder, once it is there. */
  private lentFolder = ''
  private closed = false

  constructor(folder: string, known: Set<Digest>) {
    this.folder = folder
    this.names = new FolderSync(folder)
    this.known = known
  }

  async put(bytes: Uint8Array, digest?: Digest): Promise<Digest> {
    if (this.closed) throw new ShoalError('SHOAL_CLOSED', 'the blobs are closed')
    if (bytes.length > blobBytesMax) {
      throw new ShoalError('SHOAL_BAD_MESSAGE', `a blob of ${bytes.length} bytes exceeds ${blobBytesMax}`)
    }
    const actual = digestOf(bytes)
    if (digest !== undefined && digest !== actual) {
      throw new ShoalError('SHOAL_BAD_MESSAGE', `a blob has the digest ${actual} and not ${digest}`)
    }
    if (this.known.has(actual)) return actual
    const write = this.writing.get(actual) ?? this.write(actual, bytes)
    this.writing.set(actual, write)
    try {
      await write
    } finally {
      this.writing.delete(actual)
    }
    return actual
  }

  async lend(bytes: Uint8Array): Promise<Digest> {
    const digest = digestOf(bytes)
    // An engine may be reading it.
    if (this.lent.has(digest)) return digest
    try {
      await this.removing.get(digest)
      this.lentTo ??= openTemporary()
      this.lentFolder = (await this.lentTo).folder
      await writeFile(join(this.lentFolder, digest + EXTENSION), bytes)
    } catch (error) {
      throw diskError(`there is no place for ${digest} in a temporary folder either`, error)
    }
    this.lent.add(digest)
    return digest
  }

  async read(digest: Digest): Promise<Uint8Array | undefined> {
    if (!this.isHere(digest)) return undefined
    try {
      return await readFile(this.path(digest))
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'ENOENT')
        throw diskError(`${this.path(digest)} cannot be read`, error)
      this.known.delete(digest)
      this.lent.delete(digest)
      return undefined
    }
  }

  all(): Digest[] {
    return [...this.known.union(this.lent)]
  }

  remove(digest: Digest): Promise<void> {
    // What is not here may be on its way.
    const folders = [this.known.delete(digest) && this.folder, this.lent.delete(digest) && this.lentFolder]
    const paths = folders.flatMap((folder) => (folder === false ? [] : [join(folder, digest + EXTENSION)]))
    if (paths.length === 0) return Promise.resolve()
    const removing = Promise.all(paths.map((path) => rm(path, { force: true })))
      .then(() => {})
      .catch(() => {})
      .finally(() => void this.removing.delete(digest))
    this.removing.set(digest, removing)
    return removing
  }

  has(digest: Digest): boolean {
    return this.known.has(digest)
  }

  isHere(digest: Digest): boolean {
    return this.known.has(digest) || this.lent.has(digest)
  }

  path(digest: Digest): string {
    const isLent = this.lent.has(digest) && !this.known.has(digest)
    return join(isLent ? this.lentFolder : this.folder, digest + EXTENSION)
  }

  async close(): Promise<void> {
    this.closed = true
    await Promise.allSettled([...this.writing.values(), ...this.removing.values()])
    await (await this.lentTo?.catch(() => undefined))?.close()
  }

  /** Name, bytes and directory each reach the disk before the blob counts as there. */
  private async write(digest: Digest, bytes: Uint8Array): Promise<void> {
    const unfinished = join(this.folder, digest + UNFINISHED)
    try {
      await this.removing.get(digest)
      await writeSynced(unfinished, bytes)
      await rename(unfinished, join(this.folder, digest + EXTENSION))
      await this.names.done()
    } catch (error) {
      throw diskError(`the blob ${digest} cannot be written`, error)
    }
    this.known.add(digest)
  }
}

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'w', 0o600)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
}

function diskError(what: string, error: unknown): ShoalError {
  return new ShoalError('SHOAL_DISK', `${what} (${explainError(error)})`, { cause: error })
}
