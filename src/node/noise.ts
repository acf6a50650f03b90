/**
 * Noise (the Noise Protocol Framework, XX) as libp2p has it, without four costs that it pays for every packet.
 *
 * Not here: the protocol and its ciphers, which are the library's; nothing of what is sent changes.
 * The costs: a socket write for each piece (gather.ts), a key set up anew for each large packet, an error thrown and
 * caught at the end of each packet to learn that there is no more, and memory that waits for the garbage collector (../spent.ts).
 */
import { createSecretKey, type KeyObject } from 'node:crypto'
import type { ConnectionEncrypter, MessageStream, SecuredConnection } from '@libp2p/interface'
import { noise as libp2pNoise } from '@libp2p/noise'
import { defaultCrypto, nodeCrypto } from '@libp2p/noise/crypto'
import { areAlone, discardMemory, worthBytes } from '../spent.ts'
import { gather } from './gather.ts'

/** The library uses Node's ciphers from this size on, and WebAssembly below, which wants raw keys. */
const largeBytes = 1_200
/** Of each packet. */
const sealBytes = 16
/** More than a packet can hold: "the length is not here yet". */
const notYet = 0xffff

const keys = new WeakMap<Uint8Array, KeyObject>()

/** Node takes a `KeyObject` wherever it takes the bytes of a key; the library's type only knows bytes. */
function preparedKey(bytes: Uint8Array): Uint8Array {
  let key = keys.get(bytes)
  if (key === undefined) {
    key = createSecretKey(bytes)
    keys.set(bytes, key)
  }
  return key as unknown as Uint8Array
}

const crypto: typeof defaultCrypto = {
  ...defaultCrypto,
  chaCha20Poly1305Encrypt: (plaintext, nonce, ad, k) =>
    plaintext.byteLength < largeBytes
      ? defaultCrypto.chaCha20Poly1305Encrypt(plaintext, nonce, ad, k)
      : nodeCrypto.chaCha20Poly1305Encrypt(plaintext, nonce, ad, preparedKey(k)),
  chaCha20Poly1305Decrypt: (ciphertext, nonce, ad, k, dst) =>
    ciphertext.byteLength < largeBytes
      ? defaultCrypto.chaCha20Poly1305Decrypt(ciphertext, nonce, ad, k, dst)
      : nodeCrypto.chaCha20Poly1305Decrypt(ciphertext, nonce, ad, preparedKey(k), dst)
}

export function noise(): (components: Parameters<ReturnType<typeof libp2pNoise>>[0]) => ConnectionEncrypter {
  const inner = libp2pNoise({ crypto })
  return (components) => {
    const encrypter = inner(components)
    const quick = async (
      connection: MessageStream,
      secured: Promise<SecuredConnection>
    ): Promise<SecuredConnection> => {
      // The handshake goes back and forth, and has nothing to gather.
      const result = await secured
      gather(connection)
      quietDecoder(result.connection)
      openApart(result.connection)
      return result
    }
    return Object.assign(Object.create(encrypter) as ConnectionEncrypter, {
      protocol: encrypter.protocol,
      secureInbound: (...args: Parameters<ConnectionEncrypter['secureInbound']>) =>
        quick(args[0], encrypter.secureInbound(...args)),
      secureOutbound: (...args: Parameters<ConnectionEncrypter['secureOutbound']>) =>
        quick(args[0], encrypter.secureOutbound(...args))
    })
  }
}

interface Lengths {
  readonly byteLength: number
  getUint16(at: number): number
}

/** Its length decoder throws when fewer than two bytes are left, after every packet; a length that cannot fit ends it as well. */
function quietDecoder(connection: MessageStream): void {
  const { decoder } = connection as { decoder?: { lengthDecoder?: unknown } }
  if (typeof decoder?.lengthDecoder !== 'function') return
  decoder.lengthDecoder = (list: Lengths) => (list.byteLength < 2 ? notYet : list.getUint16(0))
}

/** What the library's lists of bytes have, as far as it matters here. */
interface Packet extends Iterable<Uint8Array> {
  readonly byteLength: number
  subarray(from: number, to: number): Uint8Array
}

/** What the library's secured connections are made of; checked before it is touched, and left alone if it is anything else. */
interface Secured {
  readonly decoder: {
    /** What is not a whole packet yet. */
    readonly buffer: Iterable<Uint8Array>
    decode(data: Uint8Array | Packet): Generator<Packet>
  }
  readonly handshake: { decrypt(packet: Packet, place?: Uint8Array): Uint8Array | Packet }
  decrypt(packet: Packet): Uint8Array | Packet
}

function isSecured(connection: object): connection is Secured {
  const { decoder, handshake, decrypt } = connection as Partial<Secured>
  const areFunctions = [decoder?.decode, handshake?.decrypt, decrypt].every(
    (one) => typeof one === 'function'
  )
  return areFunctions && decoder?.buffer !== undefined
}

/**
 * What a socket read is of no use once its packets were opened, into other memory. The library opens small ones where they
 * lie, which is left so if the memory is small; and it would copy those that lie in two pieces to have a place for their text.
 */
function openApart(connection: MessageStream): void {
  const secured: object = connection
  if (!isSecured(secured)) return
  const { decoder, handshake } = secured
  secured.decrypt = (packet) => {
    if (packet.byteLength < sealBytes) throw new Error('a packet without a seal')
    const [first] = packet
    const isSmall = first !== undefined && first.buffer.byteLength < worthBytes
    return handshake.decrypt(packet, isSmall ? packet.subarray(0, packet.byteLength - sealBytes) : undefined)
  }
  const decode = decoder.decode.bind(decoder)
  let held: ArrayBufferLike[] = []
  decoder.decode = function* (data) {
    for (const piece of data instanceof Uint8Array ? [data] : data)
      if (piece.byteLength >= worthBytes && areAlone(piece)) held.push(piece.buffer)
    yield* decode(data)
    if (held.length === 0) return
    const kept = new Set(Array.from(decoder.buffer, ({ buffer }) => buffer))
    for (const memory of held) if (!kept.has(memory)) discardMemory(memory)
    held = held.filter((memory) => kept.has(memory))
  }
}
