/**
 * A disk that changes a byte by itself.
 *
 * Not here: any expectation.
 */
import { open } from 'node:fs/promises'

/** The lowest bit of the byte at this place; the file is the same, and was written to. */
export async function flip(path: string, at: number): Promise<void> {
  const file = await open(path, 'r+')
  const byte = Buffer.alloc(1)
  await file.read(byte, 0, 1, at)
  byte[0] = (byte[0] as number) ^ 1
  await file.write(byte, 0, 1, at)
  await file.close()
}
