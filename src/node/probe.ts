/**
 * Whether somebody uses this machine, as Linux tells it: keys, mouse and terminals, and what other programs do.
 *
 * Not here: what follows from it (presence.ts).
 * Keyboards and mice are listened to where that is allowed (root, or group `input`), or else by the interrupts of those that are
 * built in; a terminal tells by its file when a line was last typed. Time of processors is all that is used, less what this
 * process and its children use.
 */
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { loadavg } from 'node:os'
import { performance } from 'node:perf_hooks'
import { ShoalError } from '../errors.ts'

/** Asked each second or so. */
export interface Probe {
  /** Milliseconds since somebody used a keyboard, a mouse or a terminal; Infinity if nobody did. */
  idleMs(): Promise<number>
  /** Processors that others than this node keep busy, on average of the last minute: 1 is one of them. */
  load(): Promise<number>
  close(): void
}

/** Load is averaged over about so long. */
const loadOverMs = 60_000
/** Of the times in /proc. */
const TICKS_PER_SECOND = 100
/** Several events at once. */
const eventBytes = 24 * 64

/**
 * Throws SHOAL_BAD_OPTION where there is nothing to look at. `onNote` is told what cannot be seen. `root`: where /proc and /dev
 * are; default: where they are.
 */
export async function openProbe(onNote: (text: string) => void, root = ''): Promise<Probe> {
  if (process.platform !== 'linux')
    throw new ShoalError(
      'SHOAL_BAD_OPTION',
      `whether somebody uses this machine cannot be seen on ${process.platform}; give a \`probe\`, or leave out \`when: idle\``
    )
  const probe = new LinuxProbe(root)
  await probe.open()
  if (!probe.seesKeyboards)
    onNote('keyboard and mouse cannot be seen, only terminals and load; a user of group `input` may see them')
  return probe
}

class LinuxProbe implements Probe {
  readonly #root: string
  readonly #devices: number[] = []
  readonly #bytes = new Uint8Array(eventBytes)
  #interrupts: string | undefined
  /** When a key or the mouse was last used, on the monotonic clock. */
  #usedAt = Number.NEGATIVE_INFINITY
  #load = loadavg()[0] ?? 0
  #sampledAt = 0
  #others = 0

  constructor(root: string) {
    this.#root = root
  }

  get seesKeyboards(): boolean {
    return this.#devices.length > 0 || (this.#interrupts ?? '') !== ''
  }

  async open(): Promise<void> {
    for (const path of await inputDevices(this.#root)) {
      try {
        this.#devices.push(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK))
      } catch {
        // Not for everybody.
      }
    }
    this.#interrupts = await keyboardInterrupts(this.#root)
    this.#others = await busySeconds(this.#root)
    this.#sampledAt = performance.now()
  }

  async idleMs(): Promise<number> {
    const now = performance.now()
    for (const fd of this.#devices) if (this.#hasNews(fd)) this.#usedAt = now
    const interrupts = await keyboardInterrupts(this.#root)
    if (interrupts !== this.#interrupts) this.#usedAt = now
    this.#interrupts = interrupts
    return Math.min(now - this.#usedAt, await terminalsIdleMs(this.#root))
  }

  async load(): Promise<number> {
    const others = await busySeconds(this.#root)
    const now = performance.now()
    const seconds = (now - this.#sampledAt) / 1_000
    if (seconds <= 0) return this.#load
    const used = Math.max(0, others - this.#others) / seconds
    const weight = 1 - Math.exp((-seconds * 1_000) / loadOverMs)
    this.#load += weight * (used - this.#load)
    this.#others = others
    this.#sampledAt = now
    return this.#load
  }

  close(): void {
    for (const fd of this.#devices.splice(0)) closeSync(fd)
  }

  #hasNews(fd: number): boolean {
    let isNews = false
    try {
      while (readSync(fd, this.#bytes) > 0) isNews = true
    } catch {
      // EAGAIN: nothing more; ENODEV: it was unplugged.
    }
    return isNews
  }
}

const textOf = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '')

/** Those that the kernel takes for keyboards or mice; others have sensors that never rest. */
async function inputDevices(root: string): Promise<string[]> {
  const handlers = [...(await textOf(`${root}/proc/bus/input/devices`)).matchAll(/^H: Handlers=(.*)$/gm)]
  return handlers.flatMap(([, names = '']) => {
    const event = /\bevent\d+\b/.exec(names)?.[0]
    return event !== undefined && /\b(kbd|mouse\d+)\b/.test(names) ? [`${root}/dev/input/${event}`] : []
  })
}

async function keyboardInterrupts(root: string): Promise<string> {
  const lines = (await textOf(`${root}/proc/interrupts`)).split('\n')
  return lines.filter((line) => /i8042|keyboard|mouse/i.test(line)).join('\n')
}

/** A terminal's file is touched when something is read from it, which is when somebody has typed. */
async function terminalsIdleMs(root: string): Promise<number> {
  const own = (await readdir(`${root}/dev`).catch(() => [])).filter((name) => /^tty\d+$/.test(name))
  const remote = (await readdir(`${root}/dev/pts`).catch(() => [])).filter((name) => /^\d+$/.test(name))
  const paths = [
    ...own.map((name) => `${root}/dev/${name}`),
    ...remote.map((name) => `${root}/dev/pts/${name}`)
  ]
  const ages = await Promise.all(
    paths.map((path) =>
      stat(path).then(
        ({ atimeMs }) => Date.now() - atimeMs,
        () => Number.POSITIVE_INFINITY
      )
    )
  )
  return Math.max(0, Math.min(Number.POSITIVE_INFINITY, ...ages))
}

/** Seconds that processors were busy since the machine started, less those of this process and what it started. */
async function busySeconds(root: string): Promise<number> {
  const [all, own] = await Promise.all([textOf(`${root}/proc/stat`), ownTicks(root, process.pid)])
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] =
    /^cpu +(.*)$/m.exec(all)?.[1]?.split(' ').map(Number) ?? []
  return (user + nice + system + irq + softirq - own) / TICKS_PER_SECOND
}

/** With those of children that have ended, which are counted at their parent. */
async function ownTicks(root: string, pid: number): Promise<number> {
  const text = await textOf(`${root}/proc/${pid}/stat`)
  const ticks = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 15)
    .map(Number)
  const threads = await readdir(`${root}/proc/${pid}/task`).catch(() => [])
  const lists = await Promise.all(
    threads.map((thread) => textOf(`${root}/proc/${pid}/task/${thread}/children`))
  )
  const children = lists.flatMap((list) => list.split(' ').filter(Boolean).map(Number))
  const below = await Promise.all(children.map((child) => ownTicks(root, child)))
  return [...ticks, ...below].reduce((sum, one) => sum + one, 0)
}
