/**
 * A client whose connections live in a thread of their own.
 *
 * Not here: what is asked there (porter.ts), and options (client/remote.ts).
 */
import { MeshClient } from '../client/client.ts'
import type { Search } from '../client/line.ts'
import { ShoalError } from '../errors.ts'
import { keyText, type MeshKey } from '../node/key.ts'
import { HostedLine } from './line.ts'
import { HostThread } from './thread.ts'

/** Its thread is ready when it resolves; it is yet to be opened. */
export async function hostClient(key: MeshKey, search: Search, submitter: string): Promise<MeshClient> {
  const thread = new HostThread({ what: 'client' })
  const closed = new ShoalError('SHOAL_CLOSED', 'the client was closed')
  try {
    await thread.call({ verb: 'begin-client', keyText: keyText(key), search })
  } catch (error) {
    await thread.end(closed)
    throw error
  }
  const whenClosed = (): Promise<void> => thread.end(closed, { verb: 'close' })
  return new MeshClient((events) => new HostedLine(thread, events, whenClosed), submitter)
}
