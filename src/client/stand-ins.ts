/**
 * Types of what may stand for a value in arguments and inputs: Refs for bytes, handles for what their tasks give.
 *
 * Not here: putting values in their place (waits.ts, data/), which is done for what is beyond these types, too.
 * Of a function that says what it takes, `P` is that, and what is given must be a `Filling` of it. One that does not say gets
 * what is given, with what arrives in the place of what stands for it: `Received`. Nobody can tell what that is of a type
 * parameter, so the last form of a verb, which does not ask, is for those; compilers tell what is wrong by the last one, too.
 */
import type { Ref } from '../data/ref.ts'
import type { Waitable } from './places.ts'

type Primitive = string | number | bigint | boolean | symbol | null | undefined
/** Nothing is looked for inside. */
type Whole =
  | Primitive
  | Ref
  | Waitable
  | ((...args: never[]) => unknown)
  | Date
  | RegExp
  | Error
  | ArrayBuffer
  | ArrayBufferView
  | ReadonlyMap<unknown, unknown>
  | ReadonlySet<unknown>

/**
 * A value, or what the mesh puts it in the place of: for bytes a Ref, for anything a handle that gives it. Also inside of arrays
 * and plain objects; handles among the first 10,000 values of all.
 */
export type Filling<T> =
  | T
  | Waitable<T>
  | (Uint8Array extends T ? Ref : never)
  | (T extends Whole ? never : { readonly [K in keyof T]: Filling<T[K]> })

/** Arguments of a task. */
export type Given<P extends readonly unknown[]> = { readonly [K in keyof P]: Filling<P[K]> }

/** What arrives of what is given. */
export type Received<T> = true extends Holds<T> ? Replaced<T> : T
export type ReceivedAll<A> = { [K in keyof A]: Received<A[K]> } extends infer P extends readonly unknown[]
  ? P
  : never

type IsAny<T> = 0 extends 1 & T ? true : false
/** Whether something in it stands for a value, six levels deep at most: types may be as deep as they like. */
type Holds<T, Depth extends readonly unknown[] = []> =
  IsAny<T> extends true
    ? false
    : T extends Ref | Waitable
      ? true
      : T extends Whole
        ? false
        : Depth['length'] extends 6
          ? false
          : T extends readonly (infer E)[]
            ? Holds<E, [...Depth, unknown]>
            : { [K in keyof T]-?: Holds<T[K], [...Depth, unknown]> }[keyof T]

type Replaced<T> =
  IsAny<T> extends true
    ? T
    : T extends Ref
      ? Uint8Array
      : T extends Waitable<infer R>
        ? R
        : T extends Whole
          ? T
          : { [K in keyof T]: Replaced<T[K]> }
