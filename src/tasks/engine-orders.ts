/**
 * What people may do to an engine itself, whatever it runs.
 *
 * Not here: doing it (pool.ts), and how it gets to the node of the engine (node/desk.ts).
 * `interrupt` is Ctrl-C: what runs ends, the engine and its names stay if what runs lets them. `restart` is a new engine.
 */
export const engineOrders = ['interrupt', 'restart'] as const
export type EngineOrder = (typeof engineOrders)[number]

export const isEngineOrder = (text: string): text is EngineOrder =>
  (engineOrders as readonly string[]).includes(text)
