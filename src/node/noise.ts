/**
 * Noise (the Noise Protocol Framework, XX) as libp2p has it, without three costs that it pays for every packet.
 *
 * Not here: the protocol and its ciphers, which are the library's; nothing of what is sent changes.
 * The costs: a socket write for each piece (gather.ts), a key set up anew for each large packet, and an error thrown and
 * caught at the end of each packet to learn that there is no more.
 */
import { createSecretKey, type KeyObject } from 'node:crypto'
import type { ConnectionEncrypter, MessageStream, SecuredConnection } from '@libp2p/interface'
import { noise as libp2pNoise } from '@libp2p/noise'
import { defaultCrypto, nodeCrypto } from '@libp2p/noise/crypto'
import { gather } from './gather.ts'

/** The library uses Node's ciphers from this size on, and WebAssembly below, which wants raw keys. */
const largeBytes = 1_200
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
