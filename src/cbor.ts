/**
 * Reads what usual messages are made of: whole numbers, floats of 64 bits, bytes, texts in ASCII, lists, and the simple values.
 *
 * Not here: everything else that CBOR (RFC 8949) has, and what is wrong with bytes that are none: `readUsual` gives up then, and
 * the library reads them (wire.ts). This takes less than half of its time.
 * Texts that were read lately are given out again: names of peers and shards come in most messages, and a text that is the
 * same one is compared and looked up without being read.
 */

/** Texts that are remembered, by a hash of their bytes; each takes the place of the one before it. */
const textsMax = 1_024
/** Longer ones are left to the library. */
const textBytesMax = 96

const texts: string[] = new Array(textsMax).fill('')
const float = new DataView(new ArrayBuffer(8))
const odd = new Error('the library is to read this')

/** The value, or `undefined` if it is for the library to read or to refuse. No message is `undefined`. O(bytes). */
export function readUsual(bytes: Uint8Array): unknown {
  try {
    return new Reader(bytes).whole()
  } catch {
    return undefined
  }
}

class Reader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    // A slice of a Buffer would be a view.
    this.#bytes =
      bytes.constructor === Uint8Array
        ? bytes
        : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  whole(): unknown {
    const value = this.#value()
    if (this.#at !== this.#bytes.length) throw odd
    return value
  }

  #value(): unknown {
    const head = this.#bytes[this.#skip(1)] as number
    const low = head & 31
    switch (head >> 5) {
      case 0:
        return this.#count(low)
      case 1:
        return -1 - this.#count(low)
      case 2: {
        const from = this.#skip(this.#count(low))
        return this.#bytes.slice(from, this.#at)
      }
      case 3:
        return this.#text(this.#count(low))
      case 4:
        return this.#list(this.#count(low))
      case 7:
        return this.#simple(low)
      default:
        throw odd
    }
  }

  /** Where the next `count` bytes begin. */
  #skip(count: number): number {
    const from = this.#at
    if (count > this.#bytes.length - from) throw odd
    this.#at = from + count
    return from
  }

  #count(low: number): number {
    if (low < 24) return low
    if (low > 27) throw odd
    let count = 0
    const from = this.#skip(1 << (low - 24))
    for (let at = from; at < this.#at; at++) count = count * 256 + (this.#bytes[at] as number)
    // Above, the library takes another type.
    if (count >= Number.MAX_SAFE_INTEGER) throw odd
    return count
  }

  #list(length: number): unknown[] {
    const list: unknown[] = []
    for (let i = 0; i < length; i++) list.push(this.#value())
    return list
  }

  #simple(low: number): unknown {
    if (low === 20) return false
    if (low === 21) return true
    if (low === 22) return null
    if (low === 23) return undefined
    if (low !== 27) throw odd
    const from = this.#skip(8)
    for (let i = 0; i < 8; i++) float.setUint8(i, this.#bytes[from + i] as number)
    return float.getFloat64(0)
  }

  #text(length: number): string {
    if (length > textBytesMax) throw odd
    const from = this.#skip(length)
    let hash = length
    for (let at = from; at < this.#at; at++) {
      const byte = this.#bytes[at] as number
      if (byte > 127) throw odd
      hash = Math.imul(hash ^ byte, 0x01000193)
    }
    const place = (hash >>> 16) % textsMax
    const known = texts[place] as string
    if (this.#is(known, from)) return known
    const text = String.fromCharCode(...this.#bytes.subarray(from, this.#at))
    texts[place] = text
    return text
  }

  /** True if `text` is what was just read from there. */
  #is(text: string, from: number): boolean {
    if (text.length !== this.#at - from) return false
    for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) !== this.#bytes[from + i]) return false
    return true
  }
}
