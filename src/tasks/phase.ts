/**
 * How far a proposer has come with a shard.
 *
 * Not here: what it does in each phase (register.ts).
 */

/**
 * storing: ballot 0, own record not yet on disk. pledging: own promise not yet on disk. preparing: asking the others.
 * finishing: a next list was found, and is proposed again alone. reading: asking the list before this one. recommitting:
 * what was taken over is on its way. marking: so is the marker. leading: anything may be proposed. changing: a next list
 * is on its way.
 */
export type Phase =
  | 'storing'
  | 'pledging'
  | 'preparing'
  | 'finishing'
  | 'reading'
  | 'recommitting'
  | 'marking'
  | 'leading'
  | 'changing'
