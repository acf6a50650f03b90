/**
 * The blocking client: the same verbs, each of which returns its value and nothing that has to be awaited.
 *
 * Not here: the asynchronous client behind it (host.ts), what stands for its objects (stubs.ts), types (types.ts).
 * For scripts and people at a prompt, who think in steps. A process that serves others should use `connect()`: nothing else of
 * it runs while a call waits.
 */
import { type ErrorCode, ShoalError } from '../../errors.ts'
import { keyText, MeshKey } from '../../node/key.ts'
import { checkRuntime } from '../../version.ts'
import { truth } from '../checks.ts'
import type { ConnectOptions } from '../remote.ts'
import { Channel } from './channel.ts'
import { noSignal, Stubs } from './stubs.ts'
import type { SyncClient } from './types.ts'

export type {
  Blocking,
  SyncBalancedView,
  SyncClient,
  SyncGraph,
  SyncHandle,
  SyncHold,
  SyncJob,
  SyncLock,
  SyncMapOptions,
  SyncProgramOptions,
  SyncSemaphore,
  SyncTaskOptions,
  SyncVariable,
  SyncView
} from './types.ts'

export type SyncConnectOptions = Omit<ConnectOptions, 'signal' | 'hosted'> & {
  /**
   * What tasks print that a call waits for, or that a loop goes through, appears here as it is printed: as in `onOutput`, so much of
   * it. Of programs it is the result, and does not. Default true.
   */
  readonly output?: boolean
}

/**
 * Attaches and waits until a node has answered. Takes what `connect()` takes, without `signal`, and throws what it rejects
 * with. Values are copied between threads on the way: a Buffer arrives as a Uint8Array.
 */
export function connectSync(options: SyncConnectOptions = {}): SyncClient {
  checkRuntime()
  if (typeof options !== 'object' || options === null) throw noOptions()
  const { key, output = true, ...rest } = options
  truth('output', output)
  if ('signal' in rest) throw noSignal()
  const isKey = key instanceof MeshKey
  const plain = key === undefined || isKey ? rest : { ...rest, key }
  const channel = new Channel({ options: plain, keyText: isKey ? keyText(key) : undefined, output })
  const stubs = new Stubs(channel)
  try {
    const mesh = stubs.ask({ verb: 'open' }, connectSync) as SyncClient
    const close = (): void => closed(channel, () => stubs.call(mesh, 'close', [], close))
    const imap = (fn: unknown, inputs: unknown, given: object = {}): unknown =>
      stubs.call(mesh, 'map', [fn, inputs, { ...given, block: false }], imap)
    const own = { close, imap, [Symbol.dispose]: close }
    for (const key of Reflect.ownKeys(own))
      Object.defineProperty(mesh, key, { value: own[key as keyof typeof own] })
    return mesh
  } catch (error) {
    channel.end()
    throw error
  }
}

const noOptions = (): ShoalError =>
  new ShoalError('SHOAL_BAD_OPTION', "connectSync() takes options, as in connectSync({ key: 'lab.key' })")

function closed(channel: Channel, close: () => unknown): void {
  try {
    close()
  } catch (error) {
    const isOver: readonly ErrorCode[] = ['SHOAL_BLOCKING_HOST_LOST', 'SHOAL_CLOSED']
    if (!(error instanceof ShoalError) || !isOver.includes(error.code)) throw error
  } finally {
    channel.end()
  }
}
