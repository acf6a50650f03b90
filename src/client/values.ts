/**
 * The values a client sends and receives.
 *
 * Not here: the format, which client and engine share (tasks/executor/codec.ts).
 * A client speaks to tasks as if across a table; the door between them is the codec.
 */
export {
  decodeArgs,
  decodeValue,
  encodeArgs,
  encodeValue,
  placeOf,
  valueBytesMax
} from '../tasks/executor/codec.ts'
export { decodeFailure, encodeFailure } from '../tasks/executor/failure.ts'
