/**
 * Looks again and again whether this machine is free, and tells the node.
 *
 * Not here: what is seen (probe.ts), and what it means (presence.ts).
 */
import { performance } from 'node:perf_hooks'
import { explainError } from '../errors.ts'
import type { Attendance, Hindrance } from '../tasks/effects.ts'
import { Presence, type PresenceOptions, type Sighting } from './presence.ts'
import { openProbe, type Probe } from './probe.ts'

export interface VigilOptions extends PresenceOptions {
  /** Default: what this system offers. */
  readonly probe: Probe | undefined
  readonly onChange: (attendance: Attendance) => void
  readonly onNote: (text: string) => void
}

const hindrances: Record<Hindrance, string> = {
  'in-use': 'this machine is in use',
  unseen: 'whether somebody uses this machine cannot be seen',
  'outside-hours': 'it is outside its hours'
}

/** The first look is over when it resolves; returns what ends it. Rejects with SHOAL_BAD_OPTION if nothing can be seen here. */
export async function keepVigil(options: VigilOptions): Promise<() => void> {
  const { when, hours, idle, onChange, onNote } = options
  if (when === 'always' && hours === undefined) return () => {}
  const probe = when === 'always' ? undefined : (options.probe ?? (await openProbe(onNote)))
  const presence = new Presence(options)
  let last: Attendance = { availability: 'open' }
  let isBlind = false
  const look = async (): Promise<void> => {
    const sighting = await see(probe).catch((error: unknown) => {
      if (!isBlind) onNote(`cannot see whether somebody uses this machine: ${explainError(error)}`)
      isBlind = true
      return undefined
    })
    const availability = presence.step(sighting, performance.now())
    const { hindrance } = presence
    if (availability === last.availability && hindrance === last.hindrance) return
    const now = { availability, hindrance }
    onNote(noteOf(now, last, when))
    last = now
    onChange(now)
  }
  await look()
  let isLooking = false
  const timer = setInterval(() => {
    if (isLooking) return
    isLooking = true
    void look().finally(() => {
      isLooking = false
    })
  }, idle.lookEvery)
  return () => {
    clearInterval(timer)
    probe?.close()
  }
}

function noteOf(
  { availability, hindrance }: Attendance,
  last: Attendance,
  when: PresenceOptions['when']
): string {
  if (hindrance === undefined)
    return `takes work: ${when === 'idle' ? 'nobody uses this machine' : 'its hours have begun'}`
  const why = hindrances[hindrance]
  if (availability === last.availability) return `takes no work still: ${why}`
  return availability === 'closed'
    ? `gives back what runs, as it has waited for long: ${why}`
    : `takes no work: ${why}; what runs stands still, if it is a program or in an engine that is a process`
}

async function see(probe: Probe | undefined): Promise<Sighting> {
  const now = new Date()
  const minute = now.getHours() * 60 + now.getMinutes()
  if (probe === undefined) return { idleMs: 0, load: 0, minute }
  const [idleMs, load] = await Promise.all([probe.idleMs(), probe.load()])
  return { idleMs, load, minute }
}
