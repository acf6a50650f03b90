/**
 * The client of the data benchmark, in a process of its own: puts, gets and works once each time it is asked, and says how fast.
 *
 * Not here: what that is held against (data.ts).
 * It is of the built package, as users have it: one that runs from its sources holds a compiler beside what it moves.
 */
import { randomBytes } from 'node:crypto'
import { type Client, connect, readKey } from '../src/index.ts'
import { timed } from './measure.ts'

const MIB = 2 ** 20

export interface DataClientArguments {
  readonly keyFile: string
  readonly peers: readonly string[]
  /** Of what is put and got. */
  readonly bytes: number
  readonly tasks: number
}

/** MB/s. */
export interface Speeds {
  readonly put: number
  readonly putThrice: number
  readonly get: number
  readonly tasks: number
}

const { keyFile, peers, bytes, tasks } = JSON.parse(process.argv[2] ?? '{}') as DataClientArguments
const client = await connect({ key: await readKey(keyFile), peers, mdns: false })
const inputs = Array.from({ length: tasks }, () => new Uint8Array(randomBytes(MIB)))
process.on('disconnect', () => process.exit())
process.on('message', () => {
  void round(client).then((speeds) => process.send?.(speeds))
})
process.send?.('ready')

async function round(client: Client): Promise<Speeds> {
  const content = randomBytes(bytes)
  const put = await timed(() => client.put(content, { keepers: 1 }))
  const got = await timed(() => client.get(put.value))
  if (!content.equals(got.value)) throw new Error('other bytes came back')
  const thrice = await timed(() => client.put(randomBytes(bytes)))
  const worked = await work(client)
  await client.free(put.value, thrice.value)
  return {
    put: speed(bytes, put.ms),
    putThrice: speed(bytes, thrice.ms),
    get: speed(bytes, got.ms),
    tasks: worked
  }
}

/** MB/s of inputs and outputs together. */
async function work(client: Client): Promise<number> {
  // Data is known by its hash: other bytes are other data, and to make a MiB of them is no part of what is measured.
  for (const input of inputs) randomBytes(16).copy(input)
  const { ms, value } = await timed(async () => {
    const job = client.map((input: Uint8Array) => input.reverse(), inputs)
    const outputs = await job
    await job.release()
    return outputs
  })
  for (const [at, output] of value.entries()) {
    const input = inputs[at] as Uint8Array
    if (output.length !== MIB || !input.every((byte, i) => byte === output[MIB - 1 - i]))
      throw new Error(`a wrong output of task ${at}`)
  }
  return speed(2 * tasks * MIB, ms)
}

/** MB/s. */
const speed = (count: number, ms: number): number => count / 1e3 / ms
