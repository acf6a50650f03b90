/**
 * A thread that does nothing but show that the host, whose child it is, has not ended.
 *
 * Not here: who looks (channel.ts).
 * The host may be busy for seconds, so its own timers would tell its caller nothing; but its threads end with it, however it ends.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { CELL, pulseEveryMs } from './protocol.ts'

const cells = new Int32Array(workerData as SharedArrayBuffer)
const beat = (): number => Atomics.add(cells, CELL.pulse, 1)
beat()
setInterval(beat, pulseEveryMs)
parentPort?.postMessage('beats')
