/** Placeholder header replaced by its author. */
export interface Write {
  readonly key: string
  /** `undefined` deletes. */
  readonly value: Uint8Array | undefined
}

export interface Store {
  /** Everything under `prefix`, in order of key. */
  read(prefix: string): AsyncIterable<{ key: string; value: Uint8Array }>
  /** Resolves when all writes are durable (synced); concurrent calls share one sync; applied in order of calls. Rejects with SHOAL_DISK. */
  write(writes: readonly Write[]): Promise<void>
  close(): Promise<void>
}
