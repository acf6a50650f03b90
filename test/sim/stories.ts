/**
 * The stories that users are told, as worlds with a plan written by hand, and what happens in them in words.
 *
 * Not here: the texts that they must give (golden/), and the comparison (stories.test.ts).
 * A story is short enough that a person reads it: it tells what somebody would notice who watched all nodes at once.
 */

import { seatOf } from '../../src/ids.ts'
import type { Millis } from '../../src/machine.ts'
import type { CoreEffect, CoreInput } from '../../src/node/effects.ts'
import type { TaskMessageOf } from '../../src/tasks/messages.ts'
import { host, planOf } from './by-hand.ts'
import { type JobPlan, PLAIN_JOB, type Plan } from './plan.ts'
import { World } from './world.ts'

export interface Story {
  readonly name: string
  readonly title: string
  /** What must be in it, or it is another story than its title says. */
  readonly shows: RegExp
  readonly plan: Plan
}

const job = (at: Millis, taskMs: Millis, shards: readonly number[]): JobPlan => ({
  ...PLAIN_JOB,
  at,
  taskMs,
  shards
})

const three = [host('ann', 1), host('ben', 1), host('cat', 1)]

export const stories: readonly Story[] = [
  {
    name: 'owner-dies',
    title: 'The node that owns a job dies in the middle of it, and never comes back',
    shows: /ben crashes.*takes over the job.*has all 24 results/s,
    plan: planOf(three, [job(1_000, 200, [24])], 12_000, [
      {
        at: 1_700,
        act: { kind: 'crash', pick: 'ben', disk: 'synced', isSilent: false, backAfter: undefined }
      }
    ])
  },
  {
    name: 'split-and-heal',
    title:
      'The network splits while a job runs: the side with most of its keepers goes on, and one result counts',
    shows: /network splits.*has all 60 results.*ben brings a result of task \d+: too late.*network heals/s,
    plan: planOf([...three, host('dan', 1), host('eve', 1)], [job(1_000, 300, [60])], 22_000, [
      { at: 1_700, act: { kind: 'split', side: ['ben', 'dan'], lasts: 9_000 } }
    ])
  },
  {
    name: 'power-cut',
    title: 'The lab loses power: everybody at once, in the middle of a job',
    shows: /9 results\n[^\n]*ann crashes\n[^\n]*ben crashes\n[^\n]*cat crashes\n.*has all 24 results/s,
    plan: planOf(three, [job(1_000, 200, [24])], 12_000, [
      { at: 1_700, act: { kind: 'power-cut', disk: 'synced', backAfter: 2_000, spread: 1_000 } }
    ])
  },
  {
    name: 'late-duplicate',
    title: 'A node stands still for a while, and comes back with results that others have produced meanwhile',
    shows: /ann stands still.*runs (task \d+) again.*ann brings a result of \1: too late, there is one/s,
    plan: planOf([...three, host('dan', 1)], [job(1_000, 1_000, [40])], 20_000, [
      { at: 1_500, act: { kind: 'pause', pick: 'ann', lasts: 9_000 } }
    ])
  }
]

/** What happens, line by line. */
export function tell({ title, plan }: Story): string {
  const teller = new Teller(plan.troubleMs)
  const world = new World(1, {
    plan,
    onNote: (at, who, what) => teller.note(at, who, what),
    onStep: (at, who, input, effects) => teller.step(at, who, input, effects)
  })
  world.run()
  const tasks = plan.jobs.reduce((sum, { shards }) => sum + shards.reduce((a, b) => a + b, 0), 0)
  const read = teller.readByOthers
  return [
    title,
    '',
    ...teller.lines,
    '',
    `Afterwards somebody else reads ${read} of ${tasks} results.`,
    ''
  ].join('\n')
}

class Teller {
  readonly lines: string[] = []
  readByOthers = 0
  readonly #until: Millis
  readonly #seen = new Set<string>()
  readonly #committed = new Map<string, string>()
  readonly #begun = new Set<string>()
  #results = 0
  #total = 0
  #resultsAt: Millis = 0

  constructor(until: Millis) {
    this.#until = until
  }

  note(at: Millis, who: string, what: string): void {
    const count = Number(what.split(' ')[1])
    if (who.startsWith('reader')) {
      if (what.startsWith('results')) this.readByOthers += count
      return
    }
    if (what.startsWith('results')) {
      if (this.#results > 0 && at - this.#resultsAt > 500) this.#flush()
      this.#results += count
      this.#total += count
      this.#resultsAt = at
      return
    }
    if (what.startsWith('accepted')) this.#say(at, `${who}'s work is accepted: ${count} copies are on disk`)
    else if (what.startsWith('complete')) this.#say(at, `${who} has all ${count} results`)
    else this.#say(at, `${who} ${what}`)
  }

  step(at: Millis, who: string, input: CoreInput, effects: readonly CoreEffect[]): void {
    if (input.kind === 'received') {
      for (const message of input.messages) if (message.kind === 'outcomes') this.#late(at, message)
    }
    for (const effect of effects) {
      if (effect.kind === 'note' && effect.text.endsWith(' is down'))
        this.#down(at, who, effect.text.split(' ')[0])
      else if (effect.kind === 'run') {
        const again = [...effect.inputs.indexes].filter((index) => this.#begun.has(`${effect.key} ${index}`))
        for (const index of effect.inputs.indexes) this.#begun.add(`${effect.key} ${index}`)
        if (again.length > 0) this.#say(at, `${who} runs ${named(again)} again: attempt ${effect.attempt}`)
      } else if (effect.kind === 'reply' && effect.message.kind === 'results') {
        const { key, outcomes } = effect.message
        for (const index of outcomes.indexes) this.#committed.set(`${key} ${index}`, outcomes.node)
      } else if (effect.kind === 'send' && effect.message.kind === 'leading') {
        const { key, ballot, keepers, seats } = effect.message
        const owner = keepers[seats.indexOf(seatOf(ballot))]
        if (owner === who && ballot > 0) this.#once(at, `${key} ${ballot}`, `${who} takes over the job`)
      }
    }
  }

  /** Several nodes that one misses at the same time are one line. */
  #down(at: Millis, who: string, gone = ''): void {
    const last = this.lines.at(-1)
    const begin = line(at, `${who} misses `)
    if (last?.startsWith(begin) === true) this.lines[this.lines.length - 1] = `${last}, ${gone}`
    else this.#say(at, `${who} misses ${gone}`)
  }

  /** Outcomes of tasks that have one. */
  #late(at: Millis, { key, outcomes }: TaskMessageOf<'outcomes'>): void {
    const known = [...outcomes.indexes].filter((index) => {
      const from = this.#committed.get(`${key} ${index}`)
      return from !== undefined && from !== outcomes.node
    })
    if (known.length === 0) return
    const tasks = named(known)
    this.#once(
      at,
      `late ${outcomes.node} ${tasks}`,
      `${outcomes.node} brings a result of ${tasks}: too late, there is one`
    )
  }

  #once(at: Millis, what: string, text: string): void {
    if (this.#seen.has(what)) return
    this.#seen.add(what)
    this.#say(at, text)
  }

  #say(at: Millis, text: string): void {
    if (at >= this.#until) return
    this.#flush()
    this.#write(at, text)
  }

  #flush(): void {
    if (this.#results === 0) return
    this.#results = 0
    this.#write(this.#resultsAt, `the client has ${this.#total} results`)
  }

  #write(at: Millis, text: string): void {
    this.lines.push(line(at, text))
  }
}

const line = (at: Millis, text: string): string => `${(at / 1_000).toFixed(1).padStart(5)} s  ${text}`
const named = (indexes: Iterable<number>): string => {
  const all = [...indexes]
  return `task${all.length > 1 ? 's' : ''} ${all.join(', ')}`
}
