/**
 * What a task printed, as a part of its outcome: behind the payload, if it printed anything.
 *
 * Not here: how it is caught (executor/prints.ts). Like the story (story.ts), it is part of the outcome from then on: whoever
 * reads the outcome, whenever and wherever, reads the same. A task that prints nothing pays nothing.
 */
import { fromString } from 'uint8arrays/from-string'
import { toString as textOf } from 'uint8arrays/to-string'
import { OUTPUT_BIT } from './batch.ts'

/** Of each of the two streams of one task; what is printed beyond it is counted, and not kept. */
export const outputCharsMax = 64 * 1024
/** Bytes of the length at the end of an outcome with output. */
const LENGTH_BYTES = 4

export interface Output {
  readonly stdout: string
  readonly stderr: string
}

export const silence: Output = { stdout: '', stderr: '' }

export function withOutput(outcome: Uint8Array, { stdout, stderr }: Output): Uint8Array {
  if (outcome.byteLength === 0 || (stdout === '' && stderr === '')) return outcome
  const text = fromString(JSON.stringify([stdout, stderr]))
  const whole = new Uint8Array(outcome.byteLength + text.byteLength + LENGTH_BYTES)
  whole.set(outcome)
  whole.set(text, outcome.byteLength)
  whole[0] = (outcome[0] as number) | OUTPUT_BIT
  new DataView(whole.buffer).setUint32(whole.byteLength - LENGTH_BYTES, text.byteLength, true)
  return whole
}

/** An outcome without its story (`splitStory` first), and what was printed. Of output that cannot be read, nothing is told. */
export function splitOutput(whole: Uint8Array): { outcome: Uint8Array; output: Output } {
  if (((whole[0] ?? 0) & OUTPUT_BIT) === 0 || whole.byteLength < 1 + LENGTH_BYTES)
    return { outcome: whole, output: silence }
  const view = new DataView(whole.buffer, whole.byteOffset, whole.byteLength)
  const end = whole.byteLength - LENGTH_BYTES
  const size = view.getUint32(end, true)
  if (size >= end) return { outcome: whole, output: silence }
  const outcome = whole.slice(0, end - size)
  outcome[0] = (outcome[0] as number) & ~OUTPUT_BIT
  return { outcome, output: read(whole.subarray(end - size, end)) }
}

function read(bytes: Uint8Array): Output {
  try {
    const [stdout, stderr] = JSON.parse(textOf(bytes)) as unknown[]
    return {
      stdout: typeof stdout === 'string' ? stdout : '',
      stderr: typeof stderr === 'string' ? stderr : ''
    }
  } catch {
    return silence
  }
}
