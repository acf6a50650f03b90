/**
 * What a node that is like any other says of itself.
 *
 * Not here: any expectation. A test says only what it is about.
 */
import type { PeerId } from '../../src/ids.ts'
import type { Member } from '../../src/routing/messages.ts'

export const memberOf = (peer: string, more: Partial<Member> = {}): Member => ({
  peer: peer as PeerId,
  addresses: ['/ip4/10.0.0.1/tcp/1'],
  boot: 1,
  storeId: peer,
  slots: 1,
  isKeeper: true,
  isLeaving: false,
  isFull: false,
  zone: '',
  labels: [],
  resources: [],
  sources: [],
  version: '0',
  incarnation: 0,
  ...more
})
