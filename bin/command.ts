/**
 * What every file in commands/ exports.
 *
 * Not here: any of them. A command takes its arguments and ends with an exit code, or throws.
 */
export interface Command {
  /** What `shoal help NAME` prints. */
  readonly usage: string
  /** Resolves with the exit code. */
  readonly run: (args: readonly string[]) => Promise<number>
}
