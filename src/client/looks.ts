/**
 * How handles look at a prompt and in a log: which work it is and how far, and nothing of how that is known.
 *
 * Not here: whose handles they are. The symbol is Node's for `util.inspect` and `console.log`, and means nothing elsewhere.
 */
export const inspectedBy: unique symbol = Symbol.for('nodejs.util.inspect.custom') as never

/** What of `util.inspect` is needed, in words of its own: users' types would have to know Node's for it. */
export type Look = (
  depth: number,
  options: object,
  print: (seen: object, options: object) => string
) => string

/** A name, and what is to be seen. */
export const looksLike =
  (name: string, seen: () => object): Look =>
  (_, options, print) =>
    `${name} ${print(seen(), options)}`
