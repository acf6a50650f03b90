/**
 * The mesh key: 32 random bytes that every node and client of one mesh holds, and the file that carries them.
 *
 * Not here: how two ends prove to each other that they hold it (admission.ts).
 * The key is like the key of a club house: whoever has a copy is a member, and the name plate (the tag) tells nothing about it.
 */
import { createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { open, readFile } from 'node:fs/promises'
import { ShoalError } from '../errors.ts'

const keyBytes = 32
const LINE = /^shoal-key-1 ([A-Za-z0-9_-]{43})\s*$/

let textOf: (key: MeshKey) => string

/** Opaque: it neither prints nor serialises its bytes, so that a key never gets into a log. Made by `createKey` and `readKey`. */
export class MeshKey {
  readonly #secret: KeyObject

  constructor(bytes: Uint8Array) {
    this.#secret = createSecretKey(bytes)
  }

  /** HMAC-SHA256 (RFC 2104) over the parts, one after another. */
  seal(...parts: readonly (string | Uint8Array)[]): Uint8Array {
    const hmac = createHmac('sha256', this.#secret)
    for (const part of parts) hmac.update(part)
    return hmac.digest()
  }

  static {
    textOf = (key) => `shoal-key-1 ${key.#secret.export().toString('base64url')}`
  }
}

export function createKey(): MeshKey {
  return new MeshKey(randomBytes(keyBytes))
}

/** Rejects with SHOAL_BAD_KEY and says what to do. */
export async function readKey(file: string): Promise<MeshKey> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') {
      throw new ShoalError('SHOAL_BAD_KEY', `no key at ${file}; make one with \`shoal init ${file}\``, {
        cause: error
      })
    }
    throw new ShoalError('SHOAL_BAD_KEY', `the key ${file} cannot be read (${codeOf(error)})`, {
      cause: error
    })
  }
  const key = keyOfText(text)
  if (key !== undefined) return key
  throw new ShoalError(
    'SHOAL_BAD_KEY',
    `${file} is no mesh key; copy it again, or make one with \`shoal init\``
  )
}

/** What a key file holds; `undefined` if it is none. */
export function keyOfText(text: string): MeshKey | undefined {
  const bytes = Buffer.from(LINE.exec(text)?.[1] ?? '', 'base64url')
  return bytes.length === keyBytes ? new MeshKey(bytes) : undefined
}

/** For a file, or for another thread of this process, and for nothing else. */
export function keyText(key: MeshKey): string {
  return textOf(key)
}

/** Writes a new file that only its owner may read; never replaces one, since a lost key locks out its mesh. */
export async function writeKey(file: string, key: MeshKey): Promise<void> {
  try {
    const handle = await open(file, 'wx', 0o600)
    try {
      await handle.writeFile(`${textOf(key)}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (codeOf(error) === 'EEXIST') {
      const advice = 'use it, or choose another name'
      throw new ShoalError('SHOAL_BAD_KEY', `${file} exists and is not overwritten; ${advice}`, {
        cause: error
      })
    }
    throw new ShoalError('SHOAL_BAD_KEY', `the key cannot be written to ${file} (${codeOf(error)})`, {
      cause: error
    })
  }
}

/** 16 hex characters that name the mesh in public (mDNS, topics) and tell nothing about its key. */
export function meshTag(key: MeshKey): string {
  return Buffer.from(key.seal('shoal-tag-1')).toString('hex').slice(0, 16)
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown }).code ?? error)
}
