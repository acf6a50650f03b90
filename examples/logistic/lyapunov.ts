/**
 * A sweep of a function with a progress bar: where is x -> r x (1 - x) chaotic? Its Lyapunov exponent, for 601 values of r.
 *
 * Not here: a mesh. It takes the one of $SHOAL_KEY and $SHOAL_PEERS, or one on this machine.
 * stdout has a line for each r, to be drawn by whatever draws; the bar is on stderr.
 */
import { connect } from '../../src/index.ts'

/** Natural logarithm of how fast neighbours part, per step; above 0 is chaos. */
function exponent(r: number): number {
  let x = 0.3
  const step = (): number => {
    x = r * x * (1 - x)
    return Math.log(Math.abs(r * (1 - 2 * x)))
  }
  for (let i = 0; i < 1_000; i++) step()
  let sum = 0
  for (let i = 0; i < 20_000; i++) sum += step()
  return sum / 20_000
}

await using mesh = await connect()
const values = Array.from({ length: 601 }, (_, i) => (1_400 + i) / 500)
const sweep = mesh.map(exponent, values)
await mesh.watch(sweep, { title: 'sweep' })
for (const [at, found] of (await sweep).entries())
  console.log(`${values[at]?.toFixed(3)} ${found.toFixed(4)}`)
