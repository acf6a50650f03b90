/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Everything that `import … from 'shoal'` offers.
 *
 * Not here: any code. What is not exported here is nobody's to rely on.
 */
export type {
  Explanation,
  JobSummary,
  MemberInfo,
  NodeExplanation,
  NodeStatus,
  StatusReport
} from './client/answers.ts'
export type { Later } from './client/awaitable.ts'
export type { Hold } from './client/coordination/hold.ts'
export type { LeaseOptions, MeshLock, MeshSemaphore } from './client/coordination/lock.ts'
export type { CallOptions as CoordinationOptions, WaitingOptions } from './client/coordination/options.ts'
export type { MeshQueue, QueueOptions } from './client/coordination/queue.ts'
export type { MeshEvent, MeshVariable, Versioned } from './client/coordination/variable.ts'
export type { Endable, Ended, Waited, WaitOptions } from './client/endings.ts'
export { type ModuleFunction, moduleFunction } from './client/functions.ts'
export { type Call, type CallOptions, type Calls, type CallValues, call, ref } from './client/graph.ts'
export { saveFiles } from './client/outputs.ts'
export type { Waitable } from './client/places.ts'
export type { EachInput, FileOption, ProgramOptions } from './client/programs.ts'
export type { Watchable, WatchOptions } from './client/progress.ts'
export { type ConnectOptions, connect } from './client/remote.ts'
export type { Filling, Given, Received, ReceivedAll } from './client/stand-ins.ts'
export type { LiveSource, ReadOptions } from './client/stream.ts'
export type { Times } from './client/timing.ts'
export type {
  Accepted,
  Client,
  Completed,
  DataSource,
  GraphHandle,
  Inputs,
  JobHandle,
  JobProgress,
  JobStatus,
  MapOptions,
  Printed,
  Progress,
  PutOptions,
  TaskFunction,
  TaskHandle,
  TaskOptions,
  TaskProgress,
  Zipped
} from './client/types.ts'
export { BalancedView, type Chunk, type ImapOptions } from './client/views/balanced.ts'
export type { EngineInfo } from './client/views/engines.ts'
export { Reference } from './client/views/reference.ts'
export { AsyncResult } from './client/views/result.ts'
export type { WaitForEngines } from './client/views/until.ts'
export { DirectView, type Targets } from './client/views/view.ts'
export type { Before, Dependency, DependencyOption } from './client/waits.ts'
export type { Ref } from './data/ref.ts'
export {
  type AttemptMetadata,
  CompositeError,
  ERROR_CODES,
  type ErrorCode,
  type ProgramExit,
  type RunMetadata,
  ShoalError,
  TaskError
} from './errors.ts'
export { createKey, type MeshKey, readKey, writeKey } from './node/key.ts'
export type { Burden } from './node/leftovers.ts'
export { createNode, type Node } from './node/node.ts'
export type { Source, SourceOptions } from './node/offers.ts'
export type { NodeOptions, Role } from './node/options.ts'
export type { Idleness } from './node/presence.ts'
export type { Probe } from './node/probe.ts'
export type { Lack } from './routing/match.ts'
export type { Requires, Rule, Test } from './routing/requirement.ts'
export type { OutputFile, ProgramResult } from './tasks/executor/program.ts'
