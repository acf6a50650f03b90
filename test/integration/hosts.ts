/**
 * Several hosts on this machine: network namespaces, and between them a switch of ours that loses, delays and separates.
 *
 * Not here: nodes (processes.ts) and what they should withstand (hosts.test.ts). Needs Linux and root; `refusal` says what is missing.
 * Each host has a VXLAN interface whose other end is a UDP socket of this process, so every frame between two hosts passes
 * through `#pass`: a network emulator of a page, for kernels without one (netem) and with a seed.
 */
import { execFileSync } from 'node:child_process'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import type { Random } from '../../src/random.ts'

const vxlanHeader = 8
const networkId = 7

export interface Weather {
  readonly delayMs: number
  /** Share of packets that are lost, each way. */
  readonly loss: number
}

export class Hosts {
  readonly #names: string[]
  readonly #socket: Socket
  readonly #port: number
  readonly #random: Random
  #weather: Weather = { delayMs: 0, loss: 0 }
  /** `from-to` of what does not pass. */
  #cut = new Set<string>()
  readonly #delayed = new Set<ReturnType<typeof setTimeout>>()

  private constructor(names: string[], socket: Socket, random: Random) {
    this.#names = names
    this.#socket = socket
    this.#port = socket.address().port
    this.#random = random
  }

  /** Why this machine has no hosts to offer, if it has none. */
  static refusal(): string | undefined {
    const name = `shoal-${process.pid}-p`
    try {
      run(`ip netns add ${name}`)
      try {
        run(`ip -n ${name} link add v0 type veth peer name v1`)
        run(`ip -n ${name} link add x0 type vxlan id ${networkId} remote 10.123.1.1 dstport 4789`)
      } finally {
        run(`ip netns del ${name}`)
      }
      return undefined
    } catch (error) {
      return String(error).trim().split('\n').at(-1)
    }
  }

  static async open(count: number, random: Random): Promise<Hosts> {
    const names = Array.from({ length: count }, (_, i) => `shoal-${process.pid}-${i + 1}`)
    const socket = createSocket({ type: 'udp4', recvBufferSize: 8 << 20, sendBufferSize: 8 << 20 })
    socket.bind(0, '0.0.0.0')
    await once(socket, 'listening')
    const hosts = new Hosts(names, socket, random)
    socket.on('message', (packet, { address }) => hosts.#arrived(packet, Number(address.split('.')[2])))
    for (const [at, name] of names.entries()) hosts.#plug(name, at + 1)
    return hosts
  }

  /** A command before a program's, that runs it on host `at`, from 1. */
  within(at: number): string[] {
    return ['ip', 'netns', 'exec', this.#names[at - 1] ?? '']
  }

  /** Where a node on that host listens: for the other hosts, and for this process, which reaches each of them by a cable of its own. */
  listen(at: number): { forHosts: string; forUs: string } {
    return { forHosts: `/ip4/10.77.0.${at}/tcp/4101`, forUs: `/ip4/10.123.${at}.2/tcp/4101` }
  }

  setWeather(weather: Weather): void {
    this.#weather = weather
  }

  /** Silently, in this direction only. */
  cutOneWay(from: number, to: number): void {
    this.#cut.add(`${from}-${to}`)
  }

  split(some: readonly number[]): void {
    for (let a = 1; a <= this.#names.length; a++)
      for (let b = 1; b <= this.#names.length; b++)
        if (some.includes(a) !== some.includes(b)) this.cutOneWay(a, b)
  }

  heal(): void {
    this.#cut.clear()
    this.#weather = { delayMs: 0, loss: 0 }
  }

  /** When nothing runs on them any more. */
  close(): void {
    for (const timer of this.#delayed) clearTimeout(timer)
    this.#socket.close()
    for (const [at, name] of this.#names.entries()) {
      // A namespace goes when the kernel finds time; its cable must not be there when the next hosts want these addresses.
      run(`ip link del ${cableOf(at + 1)}`)
      run(`ip netns del ${name}`)
    }
  }

  /** One cable to this process, and on it the interface to the others. */
  #plug(name: string, at: number): void {
    const cable = cableOf(at)
    run(`ip netns add ${name}`)
    run(`ip link add ${cable} type veth peer name cable netns ${name}`)
    run(`ip addr add 10.123.${at}.1/24 dev ${cable}`)
    run(`ip link set ${cable} up`)
    run(`ip -n ${name} addr add 10.123.${at}.2/24 dev cable`)
    run(`ip -n ${name} link set cable up`)
    run(`ip -n ${name} link set lo up`)
    const ends = `local 10.123.${at}.2 remote 10.123.${at}.1 dstport ${this.#port}`
    run(`ip -n ${name} link add mesh address ${macOf(at)} type vxlan id ${networkId} ${ends} nolearning`)
    run(`ip -n ${name} addr add 10.77.0.${at}/24 dev mesh`)
    run(`ip -n ${name} link set mesh up`)
  }

  #arrived(packet: Buffer, from: number): void {
    const frame = packet.subarray(vxlanHeader)
    if (frame.length < 14) return
    const isForAll = ((frame[0] ?? 0) & 1) === 1
    const only = frame[5] ?? 0
    mendChecksum(frame)
    for (let to = 1; to <= this.#names.length; to++) {
      if (to !== from && (isForAll || to === only)) this.#pass(packet, from, to)
    }
  }

  #pass(packet: Buffer, from: number, to: number): void {
    const { delayMs, loss } = this.#weather
    if (this.#cut.has(`${from}-${to}`) || this.#random.chance(loss)) return
    const send = (): void => {
      if (!this.#cut.has(`${from}-${to}`)) this.#socket.send(packet, this.#port, `10.123.${to}.2`, () => {})
    }
    if (delayMs === 0) send()
    else {
      const timer = setTimeout(() => {
        this.#delayed.delete(timer)
        send()
      }, delayMs)
      this.#delayed.add(timer)
    }
  }
}

const macOf = (at: number): string => `02:00:00:00:00:0${at}`

const cableOf = (at: number): string => `sh${process.pid % 100_000}n${at}`

function run(command: string): void {
  const [program = '', ...args] = command.split(' ')
  execFileSync(program, args, { stdio: 'pipe' })
}

/** The kernel leaves TCP's checksum to the card that sends, and there is none on this way. */
function mendChecksum(frame: Buffer): void {
  const ip = frame.subarray(14)
  if (frame.readUInt16BE(12) !== 0x0800 || ip[9] !== 6) return
  const headerBytes = ((ip[0] ?? 0) & 0x0f) * 4
  const tcp = ip.subarray(headerBytes, ip.readUInt16BE(2))
  tcp.writeUInt16BE(0, 16)
  let sum = 6 + tcp.length
  for (let at = 12; at < 20; at += 2) sum += ip.readUInt16BE(at)
  for (let at = 0; at + 1 < tcp.length; at += 2) sum += tcp.readUInt16BE(at)
  if (tcp.length % 2 === 1) sum += (tcp[tcp.length - 1] ?? 0) << 8
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  tcp.writeUInt16BE(~sum & 0xffff, 16)
}
