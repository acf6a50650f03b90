/**
 * Tasks that use what a mesh shares, for coordination.test.ts.
 *
 * Not here: any expectation.
 */
import { task } from 'shoal/task'

/** Ends with the lock in its hands. */
export async function holds(name: string): Promise<number> {
  return (await task.client.lock(name, { lease: 60_000 }).acquire()).token
}

/** Its engine is killed while it holds the lock. */
export async function dies(name: string, lease: number): Promise<void> {
  const { token } = await task.client.lock(name, { lease }).acquire()
  await task.client.variable(`${name}-token`).set(token)
  process.kill(process.pid, 'SIGKILL')
  await new Promise(() => {})
}

export const takes = async (name: string): Promise<unknown> => task.client.queue(name).get()

export const puts = async (name: string): Promise<void> => task.client.queue(name).put('from a task')
