/**
 * Data on disk: a file for each, named by its content, which programs may read as it is.
 *
 * Not here: what is to be kept (data/depot.ts), and how it comes (data.ts).
 * What arrives is written to a name of its own, synced, and renamed, so whatever has its name is whole. Beside data of more
 * than one chunk lies the list of the chunks' hashes. A file is believed once it was hashed in this life of the node and as
 * long as nobody touched it; every chunk is checked again by whoever receives it.
 */
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { explainError, ShoalError } from '../errors.ts'
import { type DataId, dataName, isDataId } from '../ids.ts'
import { giveMemory } from '../spent.ts'
import {
  type Chunks,
  chunkBytes,
  chunksIn,
  inChunks,
  isChunk,
  isListOf,
  Lister,
  type Pieces,
  readChunk,
  soleList
} from './chunks.ts'
import { Counts } from './counts.ts'
import { FolderSync } from './folder-sync.ts'
import type { Place } from './near.ts'
import { isShort } from './open-files.ts'
import { closeWell, Part, writeAll } from './part.ts'
import { type Opened, Spares, UNFINISHED } from './spares.ts'
import { Underway } from './underway.ts'

const LIST = '.list'
/** Transfers that broke and are remembered, to be gone on with. */
const idlePartsMax = 16

/** One for each file that came under a name. */
interface Here {
  /** When the file was changed last, if it was hashed since. */
  mtimeMs: number | undefined
}

export class DataFiles {
  readonly folder: string
  /** Nothing survives this process. */
  readonly #isTemporary: boolean
  readonly #here = new Map<DataId, Here>()
  readonly #parts = new Map<DataId, Part>()
  readonly #uses = new Map<DataId, number>()
  /** How many have its file open. */
  readonly #readers = new Counts<DataId>()
  readonly #spares: Spares
  readonly #names: FolderSync
  readonly #condemned = new Set<DataId>()
  /** What comes again under the same name waits until the old file is gone. */
  readonly #removing = new Map<DataId, Promise<void>>()
  /** How many are getting their name: nothing is removed under it. */
  readonly #settling = new Counts<DataId>()
  /** Whatever makes files. */
  readonly #writing = new Underway()

  private constructor(folder: string, isTemporary: boolean, quota: number) {
    this.folder = folder
    this.#isTemporary = isTemporary
    this.#spares = new Spares(folder, { quota, isSynced: !isTemporary })
    this.#names = new FolderSync(folder, () => this.#spares.syncing())
  }

  /** In `<folder>/data`. What is temporary need not outlive a power cut, and is not synced. Rejects with SHOAL_DISK. */
  static async open(
    folder: string,
    { isTemporary = false, quota = Number.POSITIVE_INFINITY } = {}
  ): Promise<DataFiles> {
    try {
      const files = new DataFiles(join(folder, 'data'), isTemporary, quota)
      await mkdir(files.folder, { recursive: true })
      await files.#restore()
      return files
    } catch (error) {
      throw diskError(`data cannot be read in ${folder}`, error)
    }
  }

  ids(): DataId[] {
    return [...this.#here.keys()]
  }

  has(id: DataId): boolean {
    return this.#here.has(id)
  }

  path(id: DataId): string {
    return join(this.folder, id)
  }

  /** What is here, or is just coming if `alsoComing`: then chunks are read when they are there. */
  async chunks(id: DataId, alsoComing: boolean): Promise<Chunks | undefined> {
    const part = this.#parts.get(id)
    if (!this.has(id)) return alsoComing && part?.isComing ? part.chunks() : undefined
    const closed = this.#readers.add(id)
    const here = this.#here.get(id)
    try {
      const list = chunksIn(id) === 1 ? soleList(id) : await readFile(this.path(id) + LIST)
      if (!isListOf(list, id)) throw new Error('its list was damaged')
      const file = await open(this.path(id), 'r')
      const read = (index: number): Promise<Uint8Array> => readChunk(file, id, index)
      const place = async (index: number): Promise<Place> => ({
        path: resolve(this.path(id)),
        offset: index * chunkBytes
      })
      return { id, list, read, place, free: giveMemory, close: () => closeWell(file).finally(closed) }
    } catch (error) {
      closed()
      // It went meanwhile, and may be here again.
      if (this.#here.get(id) !== here) return await this.chunks(id, alsoComing)
      throw diskError(`${this.path(id)} cannot be read`, error)
    }
  }

  /** Something that is coming, or goes on to come. `list` must be the list of `id`. */
  begin(id: DataId, list: Uint8Array): Promise<Part> {
    return this.#writing.during(async () => {
      const part = this.#parts.get(id) ?? new Part(await this.#open(dataName(id).size), id, list)
      part.isComing = true
      this.#parts.set(id, part)
      return part
    })
  }

  /** A chunk that was checked. Rejects with SHOAL_DISK; then all that came before is gone, too, and the disk has room again. */
  async write(part: Part, index: number, bytes: Uint8Array): Promise<void> {
    await this.#withRoom(() => part.write(index, bytes)).catch(async (error: unknown) => {
      await this.abandon(part, error)
      unwritten(error)
    })
  }

  /** All of its chunks were written: it is on the disk for good when this resolves. */
  async finish(part: Part): Promise<void> {
    const { id } = part
    void part.closed.then(this.#readers.add(id))
    try {
      await this.#writing.during(async () => {
        await part.end(!this.#isTemporary)
        await this.#settle(part.path, id, part.list, () => {
          part.path = this.path(id)
        })
      })
    } catch (error) {
      await this.abandon(part, error)
      throw diskError(`data ${id} cannot be written`, error)
    }
    this.#parts.delete(id)
    part.arrived()
  }

  /** It comes no further for now: what waits for its chunks fails. */
  async pause(part: Part, reason: unknown): Promise<void> {
    part.fail(reason)
    const idle = [...this.#parts.values()].filter(({ isComing }) => !isComing)
    for (const one of idle.slice(0, Math.max(0, idle.length - idlePartsMax))) await this.abandon(one, reason)
  }

  async abandon(part: Part, reason: unknown): Promise<void> {
    part.fail(reason)
    if (this.#parts.get(part.id) === part) this.#parts.delete(part.id)
    await part.close()
    // What has its name already may be another one's.
    if (part.path !== this.path(part.id)) await removeWell(part.path)
  }

  /** Takes it in whole; for what is made on this machine. Rejects with SHOAL_DISK, SHOAL_BAD_VALUE or what the source throws. */
  async add(pieces: Pieces): Promise<DataId> {
    let used: DataId | undefined
    try {
      const id = await this.#writing.during(() =>
        this.#add(pieces, (named) => {
          used = named
          this.use(named)
        })
      )
      // Whoever dropped it meanwhile did not know of this.
      this.reprieve(id)
      return id
    } finally {
      if (used !== undefined) this.release(used)
    }
  }

  async #add(pieces: Pieces, onNamed: (id: DataId) => void): Promise<DataId> {
    const lister = new Lister()
    let opened: Opened | undefined
    let isNamed = false
    try {
      for await (const chunk of inChunks(pieces)) {
        const at = lister.size
        lister.add(chunk)
        opened ??= await this.#open(chunk.byteLength)
        const { file } = opened
        await this.#withRoom(() => writeAll(file, chunk, at)).catch(unwritten)
      }
      const { id, list } = lister.end()
      onNamed(id)
      if (this.has(id) && (await this.check(id))) return id
      opened ??= await this.#open(0)
      if (opened.size > lister.size) await opened.file.truncate(lister.size)
      if (!this.#isTemporary) await opened.file.datasync()
      await this.#settle(opened.path, id, list, () => {
        isNamed = true
      })
      return id
    } finally {
      if (opened !== undefined) {
        await closeWell(opened.file)
        if (!isNamed) await removeWell(opened.path)
      }
    }
  }

  /**
   * False if the file is not what its name says; then it is removed. Undefined if it was dropped meanwhile. Rejects with
   * SHOAL_DISK if nothing can be said of it.
   */
  async check(id: DataId): Promise<boolean | undefined> {
    const here = this.#here.get(id)
    try {
      const { mtimeMs, size } = await stat(this.path(id))
      const isSound = size === dataName(id).size && (here?.mtimeMs === mtimeMs || (await this.#isSound(id)))
      if (isSound && here !== undefined) here.mtimeMs = mtimeMs
      if (isSound) return this.has(id) || undefined
    } catch (error) {
      if (isShort(error)) throw diskError(`${this.path(id)} cannot be read`, error)
      // It is not there, or cannot be read: gone in any case.
    }
    // What came under its name since is another file.
    if (this.#here.get(id) !== here) return this.has(id) || undefined
    await this.#remove(id)
    return false
  }

  /** Checks it by all its bytes, whatever was known. */
  async checkAgain(id: DataId): Promise<boolean | undefined> {
    const here = this.#here.get(id)
    if (here !== undefined) here.mtimeMs = undefined
    return await this.check(id)
  }

  /** The file stays until as many calls of `release`. */
  use(id: DataId): void {
    this.#uses.set(id, (this.#uses.get(id) ?? 0) + 1)
  }

  release(id: DataId): void {
    const left = (this.#uses.get(id) ?? 1) - 1
    if (left > 0) {
      this.#uses.set(id, left)
      return
    }
    this.#uses.delete(id)
    if (this.#condemned.delete(id)) void this.#remove(id, true)
  }

  /** Resolves when it is gone; at once, if it goes later. */
  async drop(id: DataId): Promise<void> {
    if (this.#uses.has(id)) this.#condemned.add(id)
    else await this.#remove(id, true)
  }

  /** It is wanted again before it went. */
  reprieve(id: DataId): void {
    this.#condemned.delete(id)
  }

  /** Whoever puts or brings something has been let go. */
  async close(): Promise<void> {
    await this.#writing.close()
    for (const part of [...this.#parts.values()]) await this.abandon(part, new Error('the node stops'))
    await this.#spares.close()
    await Promise.all(this.#removing.values())
  }

  async #open(bytes: number): Promise<Opened> {
    return await this.#withRoom(() => this.#spares.open(bytes)).catch(unwritten)
  }

  /** Once more, if files that wait for data took the room. */
  async #withRoom<T>(write: () => Promise<T>): Promise<T> {
    const before = this.#spares.cleared
    return await write().catch(async (error: unknown) => {
      await this.#spares.clear()
      if (this.#spares.cleared === before) throw error
      return await write()
    })
  }

  #remove(id: DataId, isSound = false): Promise<void> {
    this.#here.delete(id)
    if (this.#settling.of(id) > 0) return Promise.resolve()
    const removing = this.#removeFiles(id, isSound, this.#removing.get(id)).finally(() => {
      if (this.#removing.get(id) === removing) this.#removing.delete(id)
    })
    this.#removing.set(id, removing)
    return removing
  }

  async #removeFiles(id: DataId, isSound: boolean, before: Promise<void> | undefined): Promise<void> {
    await before
    try {
      // Who has it open is not to see other data in it.
      if (isSound && this.#readers.of(id) === 0) await this.#spares.take(this.path(id))
      else await rm(this.path(id), { force: true })
      if (chunksIn(id) > 1) await rm(this.path(id) + LIST, { force: true })
    } catch {
      // Of a disk that cannot be written any more nothing goes; a start finds it there.
    }
  }

  async #isSound(id: DataId): Promise<boolean> {
    const chunks = await this.chunks(id, false)
    if (chunks === undefined) return false
    try {
      for (let index = 0; index < chunksIn(id); index++) {
        const bytes = await chunks.read(index)
        if (!isChunk(bytes, chunks.list, id, index)) return false
        chunks.free?.(bytes)
      }
      return true
    } finally {
      await chunks.close()
    }
  }

  async #settle(from: string, id: DataId, list: Uint8Array, onMoved = (): void => {}): Promise<void> {
    const settled = this.#settling.add(id)
    try {
      await this.#removing.get(id)
      await this.#give(from, id, list, onMoved)
      this.#here.set(id, { mtimeMs: (await stat(this.path(id))).mtimeMs })
      this.#condemned.delete(id)
    } catch (error) {
      settled()
      // Nobody knows of what may be there by now.
      if (!this.has(id) && this.#settling.of(id) === 0) await this.#remove(id)
      throw error
    } finally {
      settled()
    }
  }

  /** List first: what has its name is whole. */
  async #give(from: string, id: DataId, list: Uint8Array, onMoved: () => void): Promise<void> {
    if (chunksIn(id) > 1) await this.#withRoom(() => this.#writeList(id, list))
    await this.#withRoom(() => rename(from, this.path(id)))
    onMoved()
    if (!this.#isTemporary) await this.#names.done()
  }

  /** It may be there, and be read: whoever comes with the same gives it another one of the same bytes. */
  async #writeList(id: DataId, list: Uint8Array): Promise<void> {
    const { path, file } = await this.#spares.open(0)
    try {
      await file.writeFile(list)
      if (!this.#isTemporary) await file.datasync()
      await rename(path, this.path(id) + LIST)
    } finally {
      await closeWell(file)
      await removeWell(path)
    }
  }

  async #restore(): Promise<void> {
    const names = await readdir(this.folder)
    for (const name of names) {
      if (name.endsWith(UNFINISHED)) await rm(join(this.folder, name), { force: true })
      else if (isDataId(name)) this.#here.set(name, { mtimeMs: undefined })
    }
    // A list without its data was written by a node that then stopped.
    for (const name of names) {
      const id = name.slice(0, -LIST.length)
      if (name.endsWith(LIST) && !(isDataId(id) && this.has(id)))
        await rm(join(this.folder, name), { force: true })
    }
  }
}

/** Of what has no name of data: a start removes what is left. */
const removeWell = (path: string): Promise<void> => rm(path, { force: true }).catch(() => {})

function unwritten(error: unknown): never {
  throw diskError('data cannot be written', error)
}

export const isDisk = (error: unknown): boolean => error instanceof ShoalError && error.code === 'SHOAL_DISK'

export function diskError(what: string, error: unknown): ShoalError {
  if (error instanceof ShoalError) return error
  return new ShoalError('SHOAL_DISK', `${what} (${explainError(error)})`, { cause: error })
}
