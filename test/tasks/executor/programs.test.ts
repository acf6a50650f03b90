/**
 * That programs run in folders of their own, that what they leave comes back, and that they end when they are told to.
 *
 * Not here: the mesh (test/integration/programs.test.ts). Real processes; a test waits for events, and never for time to pass.
 */
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, realpath, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { closeEnvelope } from '../../../src/data/envelope.ts'
import { idOf, isRef } from '../../../src/data/ref.ts'
import { pack, STATUS } from '../../../src/tasks/batch.ts'
import {
  encodeProgramInput,
  type ProgramInput,
  stderrBytesMax,
  stdoutBytesMax
} from '../../../src/tasks/executor/program.ts'
import {
  bytesOf,
  count,
  executor,
  fifo,
  file,
  folder,
  isAlive,
  keepFile,
  open,
  scratch,
  shell,
  start,
  textOf
} from './program-bench.ts'

test('tasks of a run go one after the other, each in a folder of its own with its files', async () => {
  await open()
  const script = 'ls; cat {/}; cat common; echo {#} of {.} >&2; echo more > left'
  const inputs = ['in/a.txt', 'in/b.txt'].map((text) => ({
    isGiven: true,
    text,
    files: [file(text.slice(3), `this is ${text}\n`)]
  }))
  const told = await start({ ...shell(script), files: [file('common', 'for all\n')] }, [
    { ...inputs[0], number: 7 },
    { ...inputs[1], number: 8 }
  ])
  expect(told.map(({ value }) => value)).toMatchObject([
    {
      input: 'in/a.txt',
      exitCode: 0,
      stdout: 'a.txt\ncommon\nthis is in/a.txt\nfor all\n',
      stderr: '7 of in/a\n'
    },
    {
      input: 'in/b.txt',
      exitCode: 0,
      stdout: 'b.txt\ncommon\nthis is in/b.txt\nfor all\n',
      stderr: '8 of in/b\n'
    }
  ])
  expect(await readdir(scratch.folder)).toEqual([])
})

test('what begins after the end of another one says so', async () => {
  await open()
  const input = { isGiven: false, text: '', number: 0, files: [] }
  const told = await start(shell('true'), new Array(16).fill(input))
  const ends = told.map(({ ran }) => Number(ran?.startedAt) + Number(ran?.elapsedMs))
  const waits = told.slice(1).map(({ ran }, at) => Number(ran?.startedAt) - Number(ends[at]))
  expect(waits.filter((ms) => !(ms >= 0))).toEqual([])
})

test('an output may be a link to what the program made, and to nothing else', async () => {
  await open()
  const outputs = ['{}']
  const of = async (script: string): Promise<unknown> => {
    const [told] = await start({ ...shell(script), outputs }, ['o'])
    return told?.failure ?? told?.value?.files.map(({ name }) => name)
  }
  expect(await of('echo 1 > made; ln -s made {}')).toEqual(['o'])
  expect(await of('echo 1 > $TMPDIR/made; ln -s $TMPDIR/made {}')).toEqual(['o'])
  const outside = (to: string): object => ({
    code: 'TASK_NO_OUTPUT',
    message: `its output o leads to ${to}, outside of its folder; let it make a copy`
  })
  expect(await of('ln -s /bin {}')).toMatchObject(outside(await realpath('/bin')))
  expect(await of('ln -s /etc/passwd {}')).toMatchObject(outside('/etc/passwd'))
  expect(await of('ln -s ../../.. {}')).toMatchObject({ code: 'TASK_NO_OUTPUT' })
  expect(await of('ln -s nowhere {}')).toMatchObject({ message: 'it did not make its output o' })
})

test('of a folder comes back what links lead to in it; what cannot is said, and costs nothing else', async () => {
  await open()
  const script = `mkdir -p o/run o/plots; echo 42 > o/run/data; ln -s run/data o/latest; ln -s run o/last; ln -s .. o/run/up
    ln -s nowhere o/gone; ln -s /etc o/etc; mkfifo o/pipe; echo x > "$(printf 'o/caf\\351')"; echo ok >&2`
  const [told] = await start({ ...shell(script), outputs: ['o'] })
  expect(told?.value?.files.map(({ name }) => name)).toEqual(['o/last/data', 'o/latest', 'o/run/data'])
  expect(told?.value?.stderr.split('\n')).toEqual([
    'ok',
    'shoal: o/caf\ufffd was left out: its name is no UTF-8',
    `shoal: o/etc was left out: it leads to /etc, outside of the program's folder; let it make a copy`,
    'shoal: o/gone was left out: it is a link to nothing',
    'shoal: o/last/up was left out: it leads to a folder that it lies in',
    'shoal: o/pipe was left out: it is neither a file nor a folder',
    'shoal: o/run/up was left out: it leads to a folder that it lies in',
    ''
  ])
})

test('outputs come back: files, those of folders, executables, in folders that are there beforehand', async () => {
  await open()
  const script =
    'echo one > out/{}.txt; mkdir -p tree/b; echo 2 > tree/b/2; echo 1 > tree/1; cp /bin/true prog'
  const [told] = await start({ ...shell(script), outputs: ['out/{}.txt', 'tree', 'prog'] }, ['x'])
  const files = told?.value?.files ?? []
  expect(files.map(({ name, isExecutable }) => [name, isExecutable])).toEqual([
    ['out/x.txt', false],
    ['tree/1', false],
    ['tree/b/2', false],
    ['prog', true]
  ])
  expect(files.slice(0, 3).map(({ content }) => textOf(content))).toEqual(['one\n', '1\n', '2\n'])
  expect(files.at(-1)?.size).toBeGreaterThan(1_000)
})

test('large files come as data and go as data: their own to change, those of all linked', async () => {
  await open()
  await writeFile(join(folder, 'large'), 'x'.repeat(2_000_000))
  const data = idOf(await keepFile(join(folder, 'large')))
  const large = (name: string): ProgramInput['files'][number] => ({ ...file(name, ''), data })
  const script = 'stat -c %h mine ours; gzip -c mine > made; echo more >> mine; wc -c < mine'
  const input = closeEnvelope({
    kind: 'naming',
    ids: [data],
    inner: encodeProgramInput({ isGiven: false, text: '', number: 1, files: [large('mine')] })
  })
  const recipe = { ...shell(`${script}; cp ours big`), files: [large('ours')], outputs: ['made', 'big'] }
  const [told] = await start(recipe, [], { inputs: pack('', [0], [input]) })
  expect(told?.value?.stdout).toBe('1\n2\n2000005\n')
  const [made, big] = told?.value?.files ?? []
  expect(made?.content).toBeInstanceOf(Uint8Array)
  expect(isRef(big?.content) && idOf(big.content)).toBe(data)
  expect(await readFile(join(folder, data), 'utf8')).toHaveLength(2_000_000)
})

test('files that may be executed are, from where they lie', async () => {
  await open()
  const prog = file('bin/prog', '#!/bin/sh\necho "$0 $1"\n', true)
  const [told] = await start({ command: './bin/prog', args: ['{}'], files: [prog] }, ['a b'])
  expect(told?.value?.stdout).toBe('./bin/prog a b\n')
})

test('stdin is nothing, bytes, or a file; stdout may be a file', async () => {
  await open()
  const cat = { command: 'cat', args: [] }
  const [[nothing], [given], [named]] = await Promise.all([
    start(cat),
    start({ ...cat, stdin: bytesOf('given') }),
    start({ ...cat, stdinFile: '{}', stdoutFile: 'o/{}', outputs: ['o/{}'] }, [
      { isGiven: true, text: 'f', files: [file('f', 'named')] }
    ])
  ])
  expect([nothing?.value?.stdout, given?.value?.stdout, named?.value?.stdout]).toEqual(['', 'given', ''])
  expect(textOf(named?.value?.files[0]?.content)).toBe('named')
})

test('in a shell, inputs are words whatever they hold', async () => {
  await open()
  const odd = `it's $(echo bad) "&" *; exit 3`
  const [told] = await start({ command: 'printf %s {} |', args: ['wc', '-c'], isShell: true }, [odd])
  expect(told?.value?.stdout.trim()).toBe(String(odd.length))
})

test('the environment is that of the node without its secrets, with what is given and what the task is', async () => {
  process.env.SHOAL_KEY = 'secret'
  await open()
  const [told] = await start({ command: 'env', args: [], env: [{ name: 'SEED', value: 's{}' }] }, ['4'], {
    first: 10,
    attempt: 3,
    slot: 0
  })
  delete process.env.SHOAL_KEY
  const lines = told?.value?.stdout.split('\n') ?? []
  expect(lines).toEqual(
    expect.arrayContaining(['SEED=s4', 'SHOAL_TASK=job-of-test:10', 'SHOAL_ATTEMPT=3', 'SHOAL_ENGINE=node/0'])
  )
  expect(lines).toContain(`PATH=${process.env.PATH}`)
  expect(lines.filter((line) => line.startsWith('SHOAL_KEY'))).toEqual([])
})

test('what a program says is kept in part, and how much it was is said', async () => {
  await open()
  const stdout = stdoutBytesMax + 300_000
  const stderr = stderrBytesMax + 5_000_000
  const script = `head -c ${stdout} /dev/zero | tr '\\0' a; head -c ${stderr} /dev/zero | tr '\\0' b >&2; echo end >&2`
  const [told] = await start(shell(script))
  expect(told?.value?.stdout).toBe('a'.repeat(stdoutBytesMax))
  expect(told?.value?.stderr).toHaveLength(stderrBytesMax)
  expect(told?.value?.stderr.slice(-5)).toBe('bend\n')
  expect(told?.value?.written).toEqual({ stdout, stderr: stderr + 4 })
})

test.each([
  ['bytes', `printf '\\377\\000'; head -c ${stdoutBytesMax} /dev/zero`, true],
  ['a text that is cut within a character', `yes '€' | tr -d '\\n' | head -c ${stdoutBytesMax + 9}`, false]
])('what is kept of %s is what it was', async (_, script, isBytes) => {
  await open()
  const [told] = await start(shell(script))
  const { stdout, stdoutBytes, written } = told?.value ?? {}
  expect(written?.stdout).toBeGreaterThan(stdoutBytesMax)
  expect(stdoutBytes?.byteLength).toBe(isBytes ? stdoutBytesMax : undefined)
  expect([...(stdoutBytes?.subarray(0, 3) ?? [])]).toEqual(isBytes ? [255, 0, 0] : [])
  expect(stdout?.slice(0, 3)).toBe(isBytes ? '\ufffd\0\0' : '€€€')
})

test('a failure tells the exit code or the signal, and the end of stderr', async () => {
  await open()
  const [[code], [signal]] = await Promise.all([
    start(shell('echo first >&2; echo last words >&2; exit 3')),
    start(shell('kill -SEGV $$'))
  ])
  expect(code?.failure).toMatchObject({
    code: 'TASK_EXIT',
    exit: { code: 3, signal: null, stderr: 'first\nlast words\n' }
  })
  expect(code?.failure?.message).toContain('ended with exit code 3: last words')
  expect(signal?.failure).toMatchObject({ code: 'TASK_EXIT', exit: { code: null, signal: 'SIGSEGV' } })
  expect(signal?.failure?.message).toContain('was ended by SIGSEGV')
})

test('a command that is not there, an output that is missing, and one that lies elsewhere are failures', async () => {
  await open()
  const [[command], [locked], [output], [outside]] = await Promise.all([
    start({ command: 'no-such-command' }),
    start({ command: './data', files: [file('data', 'no program')] }),
    start({ ...shell('true'), outputs: ['made/{}'] }, ['not']),
    start({ ...shell('true'), outputs: ['../../{}'] }, ['x'])
  ])
  expect(command?.failure?.code).toBe('TASK_NO_COMMAND')
  expect(command?.failure?.message).toContain(
    'no-such-command cannot be started on this node: there is no such'
  )
  expect(locked?.failure?.code).toBe('TASK_NO_COMMAND')
  expect(output?.failure).toMatchObject({
    code: 'TASK_NO_OUTPUT',
    message: 'it did not make its output made/not'
  })
  expect(outside?.failure?.code).toBe('TASK_NO_OUTPUT')
  expect(await readdir(scratch.folder)).toEqual([])
})

test('a timeout ends all that the program started, also what ignores TERM or left the group', async () => {
  await open()
  const pids = join(folder, 'pids')
  const script = `trap '' TERM; echo $$ >> ${pids}
    sh -c 'trap "" TERM; echo $$ >> ${pids}; while :; do sleep 1; done' &
    setsid sh -c 'echo $$ >> ${pids}; while :; do sleep 1; done' &
    while :; do sleep 1; done`
  const [told] = await start({ ...shell(script), killAfterMs: 100 }, [{}], { timeoutMs: 500 })
  expect(told).toMatchObject({ status: STATUS.timedOut, failure: { code: 'TASK_TIMEOUT' } })
  const started = (await readFile(pids, 'utf8')).trim().split('\n')
  expect(started).toHaveLength(3)
  expect(started.filter(isAlive)).toEqual([])
})

test('who cleans up on TERM is given the time', async () => {
  await open()
  const trace = join(folder, 'trace')
  const { path, said } = await fifo('trapped')
  const script = `trap 'echo tidy > ${trace}; exit 0' TERM; echo up > ${path}; while :; do sleep 0.02; done`
  const ended = start(shell(script))
  await said
  executor.cancel(count)
  expect(await ended).toMatchObject([{ status: STATUS.cancelled }])
  expect(await readFile(trace, 'utf8')).toBe('tidy\n')
})

test('what a program leaves behind in its group ends with it', async () => {
  await open()
  const [told] = await start(shell('sleep 600 & echo $!'))
  expect(told?.value?.exitCode).toBe(0)
  expect(isAlive(told?.value?.stdout.trim() ?? '')).toBe(false)
})

test('of a run that is cancelled, what had not begun never does', async () => {
  await open()
  const { path, said } = await fifo('cancelled')
  const mark = join(folder, 'began')
  const script = `[ {} = 0 ] && echo up > ${path} && sleep 600; echo {} >> ${mark}`
  const ended = start(shell(script), ['0', '1', '2'])
  await said
  executor.cancel(count)
  const told = await ended
  expect(told.map(({ index }) => index).toSorted()).toEqual([0, 1, 2])
  expect(told.every(({ status }) => status === STATUS.cancelled)).toBe(true)
  expect(existsSync(mark)).toBe(false)
})

test('single tasks can be cancelled, and what has not begun can be taken back', async () => {
  await open()
  const { path, said } = await fifo('recalled')
  const script = `[ {} = 0 ] && echo up > ${path} && sleep 600; echo {}`
  const ended = start(shell(script), ['0', '1', '2', '3'])
  await said
  executor.cancel(count, Uint32Array.of(2))
  executor.recall(count)
  executor.cancel(count, Uint32Array.of(0))
  const told = (await ended).toSorted((a, b) => a.index - b.index)
  expect(told).toEqual([
    { index: 0, status: STATUS.cancelled },
    { index: 1, recalled: true },
    { index: 2, status: STATUS.cancelled },
    { index: 3, recalled: true }
  ])
})

test('closing ends what runs, and leaves no folder', async () => {
  await open()
  const { path, said } = await fifo('closed')
  void start(shell(`trap '' TERM; echo $$ > ${path}; while :; do sleep 1; done`))
  const pid = (await said).trim()
  await executor.close()
  expect(isAlive(pid)).toBe(false)
  expect(existsSync(scratch.folder)).toBe(false)
})

test('what a crash left behind is removed at the next start', async () => {
  const before = join(folder, 'scratch', 'before', '1', 'work')
  await mkdir(before, { recursive: true })
  await writeFile(join(before, 'large'), 'x')
  await open()
  await scratch.cleaned
  expect(await readdir(join(folder, 'scratch'))).toEqual([scratch.folder.split('/').at(-1)])
})

test('a folder that the program made read-only is removed all the same', async () => {
  await open()
  await start(shell('mkdir -p a/b; touch a/b/c; chmod 500 a/b a'))
  expect(await readdir(scratch.folder)).toEqual([])
})
