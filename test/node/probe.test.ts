/**
 * What Linux tells of who uses a machine, read from files as the kernel writes them.
 *
 * Not here: what follows from it (presence.test.ts). The folder stands for /proc and /dev of a machine with one keyboard, one
 * console and one terminal.
 */
import { appendFile, mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openProbe, type Probe } from '../../src/node/probe.ts'

const minutes = 60_000
const isLinux = process.platform === 'linux'
let root: string
let probe: Probe | undefined
let notes: string[]

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'shoal-probe-'))
  notes = []
})
afterEach(async () => {
  probe?.close()
  probe = undefined
  await rm(root, { recursive: true })
})

async function put(path: string, text = ''): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true })
  await writeFile(join(root, path), text)
}
/** When somebody typed there. */
const typed = (path: string, agoMs: number): Promise<void> =>
  utimes(join(root, path), (Date.now() - agoMs) / 1_000, 0)
const idle = async (): Promise<number> => (await probe?.idleMs()) ?? Number.NaN
const load = async (): Promise<number> => (await probe?.load()) ?? Number.NaN

/** Hundredths of a second since the start: of all processors, and of this process and a child of it. */
async function busy(all: number, own: number, child: number): Promise<void> {
  const { pid } = process
  const line = (ticks: number): string => `1 (a (b) c) S ${'0 '.repeat(10)}${ticks} 0 0 0 20 0\n`
  await put('proc/stat', `cpu  ${all} 0 0 900000 0 0 0 0 0 0\ncpu0 1 2 3 4 5 6 7 0 0 0\n`)
  await put(`proc/${pid}/stat`, line(own))
  await put(`proc/${pid}/task/${pid}/children`, '77 ')
  await put('proc/77/stat', line(child))
}

async function open(): Promise<void> {
  probe = await openProbe((note) => notes.push(note), root)
}

test('only Linux is looked at, and elsewhere one is told what to do', async () => {
  if (isLinux) return await open()
  await expect(open()).rejects.toThrow(expect.objectContaining({ code: 'SHOAL_BAD_OPTION' }))
})

if (isLinux) {
  test('nobody is there where nothing can be typed, and it is said that no keyboard is seen', async () => {
    await open()
    expect(await idle()).toBe(Number.POSITIVE_INFINITY)
    expect(notes).toEqual([expect.stringContaining('keyboard and mouse cannot be seen')])
  })

  test('the terminal in which somebody typed last counts, and what is no terminal does not', async () => {
    for (const path of ['dev/tty1', 'dev/pts/3', 'dev/pts/ptmx', 'dev/ttyS0']) await put(path)
    await typed('dev/tty1', 50 * minutes)
    await typed('dev/pts/3', 20 * minutes)
    await typed('dev/pts/ptmx', 0)
    await typed('dev/ttyS0', 0)
    await open()
    expect((await idle()) / minutes).toBeCloseTo(20, 0)
    await typed('dev/pts/3', 90 * minutes)
    expect((await idle()) / minutes).toBeCloseTo(50, 0)
    await typed('dev/tty1', -5 * minutes)
    expect(await idle()).toBe(0)
  })

  test('a key counts at once, a sensor never', async () => {
    const handlers = ['H: Handlers=sysrq kbd event4 leds', 'H: Handlers=event7', 'H: Handlers=mouse0 event9']
    await put('proc/bus/input/devices', handlers.join('\n\n'))
    for (const name of ['event4', 'event7', 'event9']) await put(`dev/input/${name}`)
    await open()
    expect(notes).toEqual([])
    expect(await idle()).toBe(Number.POSITIVE_INFINITY)
    await appendFile(join(root, 'dev/input/event7'), 'warm')
    expect(await idle()).toBe(Number.POSITIVE_INFINITY)
    for (const name of ['event4', 'event9']) {
      await appendFile(join(root, 'dev/input', name), 'x'.repeat(5_000))
      expect(await idle()).toBe(0)
      expect(await idle()).toBeGreaterThan(0)
      expect(await idle()).toBeLessThan(10 * minutes)
    }
  })

  test('where devices may not be read, interrupts of the keyboard count, and no others', async () => {
    const interrupts = (keys: number, disk: number): Promise<void> =>
      put('proc/interrupts', `  1: ${keys} IO-APIC i8042\n 14: ${disk} IO-APIC ata_piix\n`)
    await interrupts(5, 5)
    await open()
    expect(notes).toEqual([])
    await interrupts(5, 6)
    expect(await idle()).toBe(Number.POSITIVE_INFINITY)
    await interrupts(6, 6)
    expect(await idle()).toBe(0)
  })

  test('what others compute is load; what this process and its children compute is not', async () => {
    await busy(100_000, 50_000, 10_000)
    await open()
    const first = await load()
    await busy(900_100_000, 600_050_000, 300_010_000)
    expect(await load()).toBeLessThanOrEqual(first)
    await busy(1_800_100_000, 600_050_000, 300_010_000)
    expect(await load()).toBeGreaterThan(first + 1_000)
  })
}
