/**
 * Functions for the tests of large values that go from task to task.
 *
 * Not here: any expectation.
 */
import { createHash } from 'node:crypto'
import { appendFileSync } from 'node:fs'
import { task } from 'shoal/task'

/** Bytes that repeat nowhere. */
export function content(bytes: number): Uint8Array {
  const words = new Uint32Array(bytes / 4)
  for (let at = 0; at < words.length; at++) words[at] = Math.imul(at | 1, 0x9e3779b1)
  return new Uint8Array(words.buffer)
}

export const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Says in the file where it runs. */
export function produce(bytes: number, file: string): Uint8Array {
  appendFileSync(file, `${task.engine}\n`)
  return content(bytes)
}

export const consume = (bytes: Uint8Array): string => `${bytes.byteLength} ${digest(bytes)}`
