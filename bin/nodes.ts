/**
 * Ids of nodes as people give them: the end that `shoal status` and other commands show is enough.
 *
 * Not here: how long these ends are (output.ts). The mesh itself knows whole ids only: an end may be of several nodes tomorrow.
 */
import type { Client } from '../src/client/types.ts'
import { ShoalError } from '../src/errors.ts'
import { isTarget } from '../src/ids.ts'
import { usageError } from './failure.ts'

/** As whole ids. Rejects with SHOAL_NOT_FOUND for the end of no node that is up, and with SHOAL_BAD_OPTION for that of several. */
export async function wholeTargets(
  client: Client,
  targets: readonly string[] | undefined
): Promise<readonly string[] | undefined> {
  if (targets === undefined || targets.every(isTarget)) return targets
  const ids = (await client.members()).map(({ id }) => id)
  return targets.map((target) => wholeTarget(target, ids))
}

/** `ids`: of the nodes that are up. A whole id stays, also if no such node is: it may come. */
export function wholeTarget(target: string, ids: readonly string[]): string {
  if (isTarget(target)) return target
  const [end = '', ...slot] = target.split('/')
  const [id, ...more] = end === '' ? [] : ids.filter((one) => one.endsWith(end))
  if (id === undefined)
    throw new ShoalError(
      'SHOAL_NOT_FOUND',
      `no node ${target} is up; see \`shoal status\` (one that is not up is named by its whole id, which \`shoal up\` prints)`
    )
  if (more.length > 0)
    throw usageError(
      `${JSON.stringify(target)} is the end of several ids, ${[id, ...more].join(', ')}; give more of it`
    )
  const whole = [id, ...slot].join('/')
  if (isTarget(whole)) return whole
  throw usageError(`${JSON.stringify(target)} is no node and no engine; write ID, or ID/SLOT as in ${end}/0`)
}
