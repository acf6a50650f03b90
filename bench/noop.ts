/**
 * The task of the overhead question, as a worker of Piscina loads it.
 *
 * Not here: the same task for the mesh, which is a function in overhead.ts.
 * It gives its input back, so that both sides carry one small value each way.
 */
export default function noop(input: number): number {
  return input
}
