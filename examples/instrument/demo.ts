/**
 * A task at an instrument: of three machines one is wired to a microscope, and the work goes there by itself.
 *
 * Not here: what is done with the frames (focus.ts). The microscope is played by a loop that comes into focus and leaves it.
 * Prints the sharpest of the next hundred frames, and where that was found out, as one line of JSON.
 */
import { createKey, createNode, moduleFunction } from '../../src/index.ts'
import type { Frame, Sharpest } from './focus.ts'

const size = 64 * 64

async function* frames(): AsyncGenerator<Frame> {
  for (let number = 0; ; number++) {
    // Every fifty frames it is in focus.
    const focus = 1 - Math.abs((number % 50) - 25) / 25
    const pixels = Uint8Array.from({ length: size }, (_, at) => 128 + (at % 2 === 0 ? 100 : -100) * focus)
    yield { number, pixels }
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

const key = createKey()
const listen = ['/ip4/127.0.0.1/tcp/0']
const scope = await createNode({ key, listen, mdns: false, slots: 1, labels: { room: '12' } })
const peers = scope.addresses
const others = await Promise.all([1, 2].map(() => createNode({ key, listen, peers, mdns: false, slots: 1 })))
scope.source('microscope-3', frames(), { overflow: 'drop' })

// Submitted anywhere: it waits until a node offers the source, and runs there.
const client = (others[0] ?? scope).client
const found = client.submit<Sharpest>(moduleFunction(new URL('./focus.ts', import.meta.url)), [100], {
  requires: { source: 'microscope-3' }
})
const { number, seen } = await found
const isThere = found.metadata?.engine.startsWith(scope.id) === true
console.log(JSON.stringify({ frame: number % 50, seen, ranAtTheMicroscope: isThere }))
await Promise.all([scope, ...others].map((node) => node.stop()))
