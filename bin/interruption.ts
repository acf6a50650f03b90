/**
 * Ctrl-C and its relatives: the first asks to end in good order, the second ends at once.
 *
 * Not here: what good order is (commands/).
 * A terminal sends Ctrl-C to everyone in front of it, and launchers pass on what they got: one key press may arrive twice.
 */
const echoMs = 200

/** Aborts at the first SIGINT or SIGTERM. A second one, if it is no echo of the first, ends the process with exit code 1. */
export function interruption(): AbortSignal {
  const controller = new AbortController()
  let firstAt = Number.POSITIVE_INFINITY
  const onSignal = (): void => {
    const now = performance.now()
    if (now - firstAt > echoMs) process.exit(1)
    firstAt = Math.min(firstAt, now)
    controller.abort()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return controller.signal
}

export function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
