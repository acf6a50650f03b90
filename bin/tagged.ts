/**
 * What many tasks print at the same time, line by line as it comes, each with the name of its task before it.
 *
 * Not here: where lines come from (src/client/live.ts). As GNU parallel does with --tag and --line-buffer.
 */
import type { Printed } from '../src/client/types.ts'

/** Of a line that does not end; then it is told in pieces. */
const lineCharsMax = 65_536

export class TaggedLines {
  readonly #say: (index: number, line: string) => void
  /** What came of a line that has not ended, of each stream. */
  readonly #begun = new Map<string, string>()

  /** `say` gets whole lines without their ends. */
  constructor(say: (index: number, line: string) => void) {
    this.#say = say
  }

  add({ index, stdout, stderr }: Printed): void {
    for (const [stream, text] of Object.entries({ stdout, stderr })) {
      const name = `${index} ${stream}`
      const lines = `${this.#begun.get(name) ?? ''}${text}`.split(/\r?\n/)
      const open = lines.pop() as string
      this.#begun.delete(name)
      for (const line of lines) this.#say(index, line)
      if (open.length >= lineCharsMax) this.#say(index, open)
      else if (open !== '') this.#begun.set(name, open)
    }
  }

  /** Its last lines may lack their ends. */
  end(index: number): void {
    for (const stream of ['stdout', 'stderr']) {
      const open = this.#begun.get(`${index} ${stream}`)
      if (open === undefined) continue
      this.#begun.delete(`${index} ${stream}`)
      this.#say(index, open)
    }
  }
}
