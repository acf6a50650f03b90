/**
 * What nodes say to each other about data: who is to hold what, and who does.
 *
 * Not here: the bytes, which go from shell to shell (node/courier.ts), and what is done about it (depot.ts, guard.ts).
 */
import { isDataId, isPeerId } from '../ids.ts'
import { added, flag, list, type MessageOf, text, uint } from '../wire.ts'

/** Ids in one message; more go in another one. */
export const idsMax = 512
const ids = list(text(64, isDataId), idsMax)

export const dataKinds = {
  /**
   * The sender has a reason for these to be there: its records name them, or they are to stay for `pinMs`, or for `bridgeMs`
   * unless records name them before. `at`: who has them, as far as it knows. `copies`: how many there should be. `isNew`:
   * somebody has just put them, `put`: the sender's number of that.
   */
  hold: {
    ids,
    isNamed: flag,
    pinMs: uint(),
    copies: uint(15),
    isNew: flag,
    at: list(text(128, isPeerId), 16),
    bridgeMs: added(uint(), 0),
    put: added(uint(), 0)
  },
  /** They are on this node's disk. */
  held: { ids },
  /** The sender was to hold them, and has no room for them. */
  full: { ids },
  /** The sender has no reason for them any more. `isOver`: since jobs are over that needed them. */
  unhold: { ids, isOver: added(flag, false) },
  /** Nobody needs them any more but for jobs that name them. */
  unpin: { ids },
  /** Jobs that these were put for came and went, unless they were put once more. `puts`: by whom and with what number each was. */
  crossed: { ids, puts: added(list(text(160), idsMax), []) },
  /** The sender found these on its disk, and knows nobody who needs them. */
  stray: { ids }
} as const

export type DataMessage = MessageOf<typeof dataKinds>
export type DataMessageOf<K extends DataMessage['kind']> = Extract<DataMessage, { kind: K }>

export const isAboutData = (message: { readonly kind: string }): message is DataMessage =>
  Object.hasOwn(dataKinds, message.kind)
