/**
 * Data as it is read on the node where it lies: checked like what comes from another one.
 *
 * Not here: where it lies, and from where it comes instead (data.ts).
 * Files may change under their names, and who reads one here is the last who could notice.
 */
import { ShoalError } from '../errors.ts'
import type { DataId } from '../ids.ts'
import { type Chunks, isChunk } from './chunks.ts'

/** How often a chunk is read that is not as it should be though its file is. */
const triesMax = 3

export type Reading = Pick<Chunks, 'read' | 'close'>

/** `isSound` looks at the file after a chunk of it was not as it should be; `open` then gives another one if it was not, either. */
export async function readSoundly(
  id: DataId,
  open: () => Promise<Chunks>,
  isSound: () => Promise<boolean>
): Promise<Reading> {
  let chunks = Promise.resolve(await open())
  const again = async (failed: Chunks): Promise<Chunks> => {
    await failed.close()
    await isSound()
    return await open()
  }
  const read = async (index: number): Promise<Uint8Array> => {
    for (let tries = 1; ; tries++) {
      const opened = chunks
      const from = await opened
      try {
        const bytes = await from.read(index)
        if (isChunk(bytes, from.list, id, index)) return bytes
        throw new ShoalError('SHOAL_DISK', `data ${id} is not read as it was written`)
      } catch (error) {
        if (tries === triesMax) throw error
        // Unless somebody who reads beside has done so.
        if (chunks === opened) chunks = again(from)
      }
    }
  }
  return {
    read,
    close: async () => {
      await chunks.then(
        (from) => from.close(),
        () => {}
      )
    }
  }
}
