/**
 * What a client needs of its way into the mesh, wherever the entry is.
 *
 * Not here: the two kinds of it, to a node elsewhere (remote.ts) and to a node in this process (local.ts).
 * A line is open or it is not; what is said while it is not is lost, and the session says it again.
 */
import type { DataDoor } from './data.ts'
import type { ClientMessage, EntryMessage } from './protocol.ts'

/** Where a client looks for its first entry. */
export interface Search {
  /** Tried first. */
  readonly peers: readonly string[]
  /** Whether nodes of this machine are tried if none of these answers, and then with `mdns` those of the local network. */
  readonly isWide: boolean
  readonly mdns: boolean
}

export interface LineEvents {
  readonly onMessages: (messages: readonly EntryMessage[]) => void
  /** The line ended, and not by `leave` or `close`. */
  readonly onClosed: (reason: string) => void
  /** Sees to it that the line is open; rejects if no entry is found. For what needs one besides messages. */
  readonly attach: () => Promise<void>
}

export interface Line {
  readonly data: DataDoor
  /** To some node, another one than last if there is a choice. Rejects with SHOAL_NO_MESH, SHOAL_REFUSED or SHOAL_CLOSED. */
  open(signal?: AbortSignal): Promise<void>
  /** All that is said in one turn travels together. */
  send(message: ClientMessage): void
  /** Addresses of further nodes. */
  learn(addresses: readonly string[]): void
  /** Ends the line to this entry, silently. */
  leave(): Promise<void>
  close(): Promise<void>
}

export type OpenLine = (events: LineEvents) => Line
