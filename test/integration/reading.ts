/**
 * A task that reads a live source, for sources.test.ts.
 *
 * Not here: any expectation.
 */
import { task } from 'shoal/task'

/** Up to `count` items, or as many as there are. */
export default async function read(name: string, count: number, ahead: number): Promise<number[]> {
  const items: number[] = []
  for await (const item of task.source<number>(name, { ahead })) {
    items.push(item)
    if (items.length === count) break
  }
  return items
}
