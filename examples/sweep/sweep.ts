/**
 * A program over files: a script in Python, which knows nothing of Shoal, over a folder of parameters.
 *
 * Not here: the script (sweep.py), which sees a folder with itself and one file of parameters, and prints a line.
 * With a mesh that is there already, the same is one command:
 *   shoal run --file sweep.py --each 'points/*.json' -- python3 sweep.py {}
 */
import { readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { createKey, createNode } from '../../src/index.ts'

process.chdir(fileURLToPath(new URL('.', import.meta.url)))
const points = (await readdir('points')).sort().map((name) => `points/${name}`)

await using node = await createNode({
  key: createKey(),
  listen: ['/ip4/127.0.0.1/tcp/0'],
  mdns: false,
  // Programs run as the user who started the node, so nobody runs any unless he says so.
  allowRun: true
})
const job = node.client.run({
  command: 'python3',
  args: ['sweep.py', '{}'],
  each: points,
  // `{}` is the file that the input names; the other one goes along with each.
  files: ['sweep.py', '{}']
})
for await (const { stdout } of job) process.stdout.write(stdout)
