/**
 * A stateful view: the data is sent to the engines once and stays there; rounds of k-means send only the centers.
 *
 * Not here: a mesh. It takes the one of $SHOAL_KEY and $SHOAL_PEERS, or one on this machine.
 */
import { connect } from '../../src/index.ts'

type Point = readonly [number, number]
interface Sum {
  x: number
  y: number
  count: number
}
// What the engines call `points` and `centers`, each its own.
declare const points: readonly Point[]
declare const centers: readonly Point[]

/** Of one engine's points: what the next centers are made of. */
const sums = (): Sum[] => {
  const found = centers.map(() => ({ x: 0, y: 0, count: 0 }))
  for (const [x, y] of points) {
    const distances = centers.map(([cx, cy]) => (x - cx) ** 2 + (y - cy) ** 2)
    const sum = found[distances.indexOf(Math.min(...distances))] as Sum
    sum.x += x
    sum.y += y
    sum.count++
  }
  return found
}

// Three clouds, without chance.
const clouds: readonly Point[] = [
  [0, 0],
  [10, 0],
  [5, 9]
]
const all = clouds.flatMap(([x, y]) =>
  Array.from({ length: 2_000 }, (_, i): Point => [x + 2 * Math.sin(i), y + 2 * Math.cos(1.7 * i)])
)

await using mesh = await connect()
const view = mesh.view('all')
const engines = await view.engines()
await view.scatter('points', all)
let current: Point[] = [
  [1, 1],
  [6, 1],
  [4, 4]
]
for (let round = 1; round <= 10; round++) {
  await view.push({ centers: current })
  // Of one engine the bare value comes, of several a list.
  const answer = await view.apply(sums)
  const perEngine = (engines.length === 1 ? [answer] : answer) as Sum[][]
  current = current.map((old, at): Point => {
    const total = { x: 0, y: 0, count: 0 }
    for (const { [at]: sum } of perEngine) {
      total.x += sum?.x ?? 0
      total.y += sum?.y ?? 0
      total.count += sum?.count ?? 0
    }
    return total.count === 0 ? old : [total.x / total.count, total.y / total.count]
  })
}
for (const [x, y] of current) console.log(`${x.toFixed(1)} ${y.toFixed(1)}`)
