/**
 * What is done beside the microscope: looks at frames as they come, and says which one was the sharpest.
 *
 * Not here: the microscope (demo.ts). The frames never leave the machine that takes them; only the answer does.
 */
import { task } from 'shoal/task'

export interface Frame {
  readonly number: number
  readonly pixels: Uint8Array
}

export interface Sharpest {
  readonly number: number
  readonly sharpness: number
  /** Frames that were looked at. */
  readonly seen: number
}

export default async function sharpest(count: number): Promise<Sharpest> {
  let best: Sharpest = { number: -1, sharpness: -1, seen: 0 }
  let seen = 0
  for await (const { number, pixels } of task.source<Frame>('microscope-3', { ahead: 4 })) {
    const sharpness = contrastOf(pixels)
    if (sharpness > best.sharpness) best = { number, sharpness, seen }
    task.progress(++seen / count, `frame ${number}`)
    if (seen === count) break
  }
  return { ...best, seen }
}

/** Neighbours that differ: of a frame in focus they differ most. */
function contrastOf(pixels: Uint8Array): number {
  let sum = 0
  for (let at = 1; at < pixels.length; at++)
    sum += Math.abs((pixels[at] as number) - (pixels[at - 1] as number))
  return sum / pixels.length
}
