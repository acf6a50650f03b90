/**
 * A client as a process of its own that takes a lock and keeps it, for coordination.test.ts.
 *
 * Not here: any expectation.
 */
import { connect, readKey } from '../../src/index.ts'

const [keyFile = '', entry = '', name = '', lease = ''] = process.argv.slice(2)
const client = await connect({ key: await readKey(keyFile), peers: [entry], mdns: false })
const { token } = await client.lock(name, { lease: Number(lease) }).acquire()
process.send?.(token)
