/**
 * What commands refuse before anything is done.
 *
 * Not here: how arguments are read (arguments.test.ts), and what commands do (test/integration/command.test.ts).
 */
import { expect, test } from 'vitest'
import type { Command } from '../../bin/command.ts'
import { init } from '../../bin/commands/init.ts'
import { map } from '../../bin/commands/map.ts'

const refused: Record<string, [Command, string[], string]> = {
  'init with an empty name': [init, [''], 'the name of the key is ""; give one, like'],
  'map --detach with --progress': [
    map,
    ['work.ts', 'a', '--detach', '--progress'],
    '--detach leaves before there is anything for --progress; leave one of them out, or give it to `shoal result ID`'
  ]
}
test.each(Object.entries(refused))('%s', async (_, [command, args, message]) => {
  await expect(command.run(args)).rejects.toMatchObject({
    code: 'SHOAL_BAD_OPTION',
    message: expect.stringContaining(message)
  })
})
