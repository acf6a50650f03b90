/**
 * `shoal explain`: why a task does not run, or where it does.
 *
 * Not here: the reasons (src/node/explain.ts), which are those by which the nodes decide.
 */
import type { Explanation, MemberInfo, NodeExplanation } from '../../src/client/answers.ts'
import { ShoalError } from '../../src/errors.ts'
import type { PeerId } from '../../src/ids.ts'
import { whyNot } from '../../src/node/explain.ts'
import { type Lack, lacks } from '../../src/routing/match.ts'
import type { Requirement } from '../../src/routing/requirement.ts'
import { programsLabel } from '../../src/tasks/executor/program.ts'
import { readJobArguments } from '../arguments.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../failure.ts'
import { askMesh, meshFlags, meshUsage } from '../mesh.ts'
import { counted, shortIds, table } from '../output.ts'

export const explain: Command = {
  usage: `usage: shoal explain TASK [FLAGS]

Says why a task does not run, or where it does: what it lacks on every node, and what is in use there. TASK is JOB:INDEX, as in
\`shoal explain 4fzGCAqDE0bZVf9x:12\`; without an index, the first task of the job.

${meshUsage}  --json             the whole explanation as JSON
`,
  async run(args) {
    const { id, values } = readJobArguments('explain', args, meshFlags)
    const found = await askMesh(values, (client) => client.explain(id))
    if (found.state === 'unknown') throw unknown(found)
    process.stdout.write(values.json ? `${JSON.stringify(found)}\n` : explanationText(found))
    return EXIT.done
  }
}

/** As other commands say it of a job. */
function unknown({ task, silent }: Explanation): ShoalError {
  const what = `${task.includes(':') ? 'task' : 'job'} ${task}`
  const others = silent === 0 ? '' : `; ${counted(silent, 'node')} did not answer`
  return new ShoalError('SHOAL_NOT_FOUND', `no node that could be asked knows the ${what}${others}`)
}

export function explanationText(found: Explanation): string {
  const { task, state, reason, requires, owner, keepers, attempt, losses, failures, silent } = found
  const short = shortIds([...found.nodes.map(({ id }) => id), ...keepers])
  const lines = [`task ${task} is ${state}: ${reason}`]
  if (state === 'ended') return `${lines.join('\n')}\n`
  if (Object.keys(requires).length > 0) lines.push(`requires ${JSON.stringify(requires)}`)
  const kept = keepers.map((id) => short.get(id) ?? id).join(', ')
  lines.push(`led by ${owner === undefined ? 'nobody' : (short.get(owner) ?? owner)}, kept by ${kept}`)
  lines.push(
    `attempt ${attempt}, after ${counted(losses, 'lost engine')} and ${counted(failures, 'failure')}`
  )
  if (silent > 0) lines.push(`${counted(silent, 'node')} did not answer`)
  const rows = found.nodes.map((node) => [
    short.get(node.id),
    node.slots,
    node.running,
    node.queued,
    whyOf(node)
  ])
  return `${lines.join('\n')}\n\n${table(['node', 'slots', 'running', 'queued', 'why'], rows)}`
}

function whyOf({ holds, isSilent, missing, waitsFor, unavailable }: NodeExplanation): string {
  const away = unavailable === undefined ? undefined : whyNot[unavailable]
  if (holds !== undefined) return `it is ${holds} here${away === undefined ? '' : ` (${away})`}`
  if (missing.length > 0) return missing.map(lackText).join('; ')
  if (isSilent) return 'did not answer'
  if (away !== undefined) return away
  return waitsFor.length > 0 ? `in use: ${waitsFor.map(lackText).join('; ')}` : 'could run it'
}

/** What nodes lack, if there is none that could ever run it. */
export function whyNobody(members: readonly MemberInfo[], requirement: Requirement): string | undefined {
  const missing = members.map(({ id, slots, labels, resources, sources }) =>
    lacks(requirement, {
      peer: id as PeerId,
      slots,
      labels: Object.entries(labels),
      resources: Object.entries(resources).map(([name, amount]) => ({ name, amount })),
      sources
    })
  )
  const isFit = missing.length === 0 || missing.some((lacking) => lacking.length === 0)
  return isFit ? undefined : [...new Set(missing.flat().map(lackText))].join('; ')
}

function lackText({ blockedBy, name, wants, has }: Lack): string {
  switch (blockedBy) {
    case 'engine':
      return has === '0' && name === 'slots' ? 'no free engine' : `wants ${wants} of ${name}`
    case 'target':
      return 'none of its targets'
    case 'label':
      if (name === programsLabel) return 'runs no programs: it was started without --allow-run'
      return `label ${name} is ${has === '' ? 'not there' : JSON.stringify(has)}, wants ${wants}`
    case 'resource':
      return `has ${has} of ${name}, wants ${wants}`
    case 'source':
      return `does not offer the source ${wants}`
    default:
      return `does not meet ${wants}`
  }
}
