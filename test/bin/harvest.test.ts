/**
 * What `shoal run` tells of a job of which inputs were done before.
 *
 * Not here: programs, and the files that they leave (test/integration/programs.test.ts).
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Harvest } from '../../bin/harvest.ts'
import { Ledger } from '../../bin/ledger.ts'
import type { Client } from '../../src/client/types.ts'

const program = { command: 'echo' }
let folder: string
let printed: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-harvest-'))
  printed = ''
  vi.spyOn(process.stdout, 'write').mockImplementation(((text: string, then?: () => void) => {
    printed += text
    then?.()
    return true
  }) as typeof process.stdout.write)
})
afterEach(async () => {
  vi.restoreAllMocks()
  await rm(folder, { recursive: true })
})

/** A job whose programs print their input. */
async function* echoed(each: AsyncIterable<{ readonly text: string }>): AsyncGenerator<unknown> {
  let index = 0
  for await (const { text } of each) {
    const value = { stdout: text, stderr: '', files: [], written: { stdout: text.length, stderr: 0 } }
    yield { index: index++, value }
  }
}

const client = {
  run: ({ each }: { readonly each: AsyncIterable<{ readonly text: string }> }) => ({
    id: 'the-job',
    onProgress: () => () => {},
    onOutput: () => () => {},
    asCompleted: () => echoed(each),
    status: async () => ({ state: 'done' })
  })
} as unknown as Client

async function resumed(...each: string[]): Promise<{ job: unknown; inputs: string[] }> {
  printed = ''
  const ledger = await Ledger.open(folder, program, { isResumed: true, isWanted: true })
  const values = { into: folder, json: true, 'keep-going': true, progress: false, verbose: false }
  try {
    await new Harvest({ client, program, ledger, values }).bring(each, new AbortController().signal)
  } finally {
    await ledger?.close()
  }
  const { job, results } = JSON.parse(printed)
  return { job, inputs: results.map(({ input }: { input: string }) => input) }
}

test('there is no job if all was done before, and one as soon as anything is left to do', async () => {
  expect(await resumed('a', 'b')).toEqual({ job: 'the-job', inputs: ['a', 'b'] })
  expect(await resumed('a', 'b')).toEqual({ job: null, inputs: ['a', 'b'] })
  expect(await resumed('a', 'b', 'c')).toEqual({ job: 'the-job', inputs: ['a', 'b', 'c'] })
  expect(await resumed('d', 'a')).toEqual({ job: 'the-job', inputs: ['d', 'a'] })
})
