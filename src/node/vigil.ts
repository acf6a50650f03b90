/**
 * Looks again and again whether this machine is free, and tells the node.
 *
 * Not here: what is seen (probe.ts), and what it means (presence.ts).
 */
import { performance } from 'node:perf_hooks'
import { explainError } from '../errors.ts'
import type { Availability } from '../tasks/effects.ts'
import { Presence, type PresenceOptions, type Sighting } from './presence.ts'
import { openProbe, type Probe } from './probe.ts'

export interface VigilOptions extends PresenceOptions {
  /** Default: what this system offers. */
  readonly probe: Probe | undefined
  readonly onChange: (availability: Availability) => void
  readonly onNote: (text: string) => void
}

const words: Record<Availability, string> = {
  open: 'takes work: nobody uses this machine',
  paused: 'takes no work: this machine is in use; what runs stands still, if engines are processes',
  closed: 'gives back what runs: this machine is still in use'
}

/** The first look is over when it resolves; returns what ends it. Rejects with SHOAL_BAD_OPTION if nothing can be seen here. */
export async function keepVigil(options: VigilOptions): Promise<() => void> {
  const { when, hours, idle, onChange, onNote } = options
  if (when === 'always' && hours === undefined) return () => {}
  const probe = when === 'always' ? undefined : (options.probe ?? (await openProbe(onNote)))
  const presence = new Presence(options)
  let last: Availability = 'open'
  let isBlind = false
  const look = async (): Promise<void> => {
    const sighting = await see(probe).catch((error: unknown) => {
      if (!isBlind) onNote(`cannot see whether somebody uses this machine: ${explainError(error)}`)
      isBlind = true
      return undefined
    })
    const availability = presence.step(sighting, performance.now())
    if (availability === last) return
    last = availability
    onNote(words[availability])
    onChange(availability)
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

async function see(probe: Probe | undefined): Promise<Sighting> {
  const now = new Date()
  const minute = now.getHours() * 60 + now.getMinutes()
  if (probe === undefined) return { idleMs: 0, load: 0, minute }
  const [idleMs, load] = await Promise.all([probe.idleMs(), probe.load()])
  return { idleMs, load, minute }
}
