/**
 * News of other nodes that is passed on with what is said anyway, each piece a few times.
 *
 * Not here: what is news (swim.ts). Every message carries a little; each node tells each piece as often as it takes for
 * everybody to hear it with high probability (SWIM; Das, Gupta and Motivala, 2002). Newer pieces replace older ones.
 */
import type { Doubt, Member } from './messages.ts'

/** Pieces in one message. */
export const rumoursTold = 6
/** Pieces waiting to be told; the oldest is dropped, and is learned by comparing directories. */
export const rumoursMax = 256
/** Tellings for each doubling of the members. */
const tellingsFactor = 3

interface Rumour {
  readonly member?: Member
  readonly doubt?: Doubt
  left: number
}

export class Rumours {
  readonly #open = new Map<string, Rumour>()

  member(member: Member, members: number): void {
    this.#add(member.peer, { member, left: tellings(members) })
  }

  doubt(doubt: Doubt, members: number): void {
    this.#add(`${doubt.peer} ${doubt.by}`, { doubt, left: tellings(members) })
  }

  /** The next pieces, which have then been told once more. */
  tell(): { members: Member[]; doubts: Doubt[] } {
    const told = { members: [] as Member[], doubts: [] as Doubt[] }
    for (const [name, rumour] of [...this.#open].slice(0, rumoursTold)) {
      if (rumour.member !== undefined) told.members.push(rumour.member)
      if (rumour.doubt !== undefined) told.doubts.push(rumour.doubt)
      this.#open.delete(name)
      if (--rumour.left > 0) this.#open.set(name, rumour)
    }
    return told
  }

  #add(name: string, rumour: Rumour): void {
    this.#open.delete(name)
    if (this.#open.size >= rumoursMax) this.#open.delete([...this.#open.keys()][0] as string)
    this.#open.set(name, rumour)
  }
}

const tellings = (members: number): number => tellingsFactor * Math.ceil(Math.log2(members + 1))
