/**
 * How much memory a process uses, with what it started.
 *
 * Not here: how much it may use (child.ts). Where there is no /proc, it seems to use none.
 */
import { readdir, readFile } from 'node:fs/promises'

/** Of almost every Linux; with larger pages, less is seen than there is. */
const PAGE_BYTES = 4_096

/** Bytes in memory of `pid` and all below it, each with what it shares. */
export async function memoryOf(pid: number): Promise<number> {
  const [statm, children] = await Promise.all([
    readFile(`/proc/${pid}/statm`, 'utf8').catch(() => ''),
    childrenOf(pid)
  ])
  const below = await Promise.all(children.map(memoryOf))
  return below.reduce((sum, bytes) => sum + bytes, Number(statm.split(' ')[1] ?? 0) * PAGE_BYTES)
}

async function childrenOf(pid: number): Promise<number[]> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => [])
  const lists = threads.map((thread) =>
    readFile(`/proc/${pid}/task/${thread}/children`, 'utf8').catch(() => '')
  )
  return (await Promise.all(lists)).flatMap((list) => list.split(' ').filter(Boolean).map(Number))
}
