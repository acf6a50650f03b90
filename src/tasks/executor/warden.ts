/**
 * Ends the programs of a node that was itself killed, and its engines that are processes.
 *
 * Not here: how they are ended while the node lives (tree.ts). An engine in a loop would never notice that its node is gone.
 * A dead man's handle: a shell holds the other end of a pipe, is told which groups run, and acts when the pipe closes. It
 * costs a megabyte, and is started with the first program. A node may be killed before it could tell of a program that it had
 * just started, and a program may leave its group; where there is a /proc, both are found by the mark in their environment.
 * A node that ends in good order has ended what it started, and says so: what left its group on purpose stays.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { dirname } from 'node:path'

/** Between TERM and KILL for programs whose node is gone. */
const killAfterS = 2

const SCRIPT = `trap '' TERM INT HUP
all=' '
mark=$2
while read -r verb group; do
  case $verb in
    +) all="$all$group " ;;
    -) all="\${all%% $group *} \${all#* $group }" ;;
    =) mark= ;;
  esac
done
marked () { [ -z "$mark" ] || grep -ls "SHOAL_RUN=$mark" /proc/[0-9]*/environ | while IFS=/ read -r _ _ pid _; do echo "$pid"; done; }
signal () {
  for group in $all; do kill -s "$1" -- "-$group"; done
  for pid in $(marked); do kill -s "$1" "$pid"; done
}
if [ "$all" != ' ' ] || [ -n "$(marked)" ]; then
  signal TERM 2> /dev/null
  signal CONT 2> /dev/null
  sleep ${killAfterS}
  signal KILL 2> /dev/null
fi
[ -z "$1" ] || rm -rf -- "$1"
`

export class Warden {
  /** What the mark of every program begins with (tree.ts). */
  readonly mark = randomBytes(9).toString('hex')
  readonly #folder: string | undefined
  readonly #groups = new Set<number>()
  #shell: ChildProcess | undefined

  /** `folder`, if there is one, is removed when the node ends, however it does. */
  constructor(folder?: string) {
    this.#folder = folder
  }

  /** Before anything is started: it takes a moment to come, and nobody should be killed meanwhile without it. */
  ready(): void {
    if (this.#shell === undefined) this.#start()
  }

  watch(group: number): void {
    this.ready()
    this.#groups.add(group)
    this.#tell(`+ ${group}\n`)
  }

  unwatch(group: number): void {
    if (this.#groups.delete(group)) this.#tell(`- ${group}\n`)
  }

  /** It then removes the folder, and goes. */
  close(): void {
    this.#shell?.stdin?.end('=\n')
    this.#shell = undefined
  }

  #start(): void {
    const shell = spawn('/bin/sh', ['-c', SCRIPT, 'shoal-warden', this.#folder ?? '', this.mark], {
      cwd: this.#folder === undefined ? '/' : dirname(this.#folder),
      // Not to be hit by what a terminal sends to the node.
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore']
    })
    this.#shell = shell
    shell.stdin?.on('error', () => {})
    // Without one, programs run all the same; the next one calls another.
    const gone = (): void => {
      if (this.#shell === shell) this.#shell = undefined
    }
    shell.on('error', gone)
    shell.on('exit', gone)
    // It must not keep the node alive, only outlive it.
    shell.unref()
    ;(shell.stdin as (NodeJS.WritableStream & { unref?: () => void }) | null)?.unref?.()
    for (const group of this.#groups) this.#tell(`+ ${group}\n`)
  }

  #tell(line: string): void {
    this.#shell?.stdin?.write(line)
  }
}
