/**
 * Whether a file could not be opened for what it is, or since this process has too many open.
 *
 * Not here: what follows from that (datafiles.ts, near.ts): nothing is known of the file.
 */

/** This process may open no more files, whatever is in this one. */
export function isShort(error: unknown): boolean {
  const { code } = Object((error as { cause?: unknown }).cause ?? error) as { code?: unknown }
  return code === 'EMFILE' || code === 'ENFILE'
}
