/**
 * That `{}` and its relatives mean what they mean to GNU parallel, and that names of files stay in their folder.
 *
 * Not here: programs that get them (programs.test.ts).
 */
import { expect, test } from 'vitest'
import { fill, hasTemplate, insideName, isInside, shellWord } from '../../../src/tasks/executor/template.ts'

test.each([
  // By the rules of its source, which are these regular expressions and Perl's dirname.
  ['a/b.tar.gz', 'a/b.tar.gz', 'b.tar.gz', 'a/b.tar', 'b.tar', 'a'],
  ['b', 'b', 'b', 'b', 'b', '.'],
  ['/x.y/b', '/x.y/b', 'b', '/x.y/b', 'b', '/x.y'],
  ['.bashrc', '.bashrc', '.bashrc', '', '', '.'],
  ['/b.c', '/b.c', 'b.c', '/b', 'b', '/'],
  ['dir/', 'dir/', '', 'dir/', '', '.']
])('%s', (text, ...parts) => {
  const input = { text, number: 3 }
  const all = ['{}', '{/}', '{.}', '{/.}', '{//}']
  expect(all.map((template) => fill(template, input))).toEqual(parts)
  expect(fill(all.join(' {#} '), input)).toBe(parts.join(' 3 '))
})

test('other braces stay, and without an input all do', () => {
  const text = '{print $1} {"a":{}} {...} { } $x'
  expect(fill(text, { text: 'in', number: 1 })).toBe('{print $1} {"a":in} {...} { } $x')
  expect(fill(text, undefined)).toBe(text)
  expect([hasTemplate('a{//}'), hasTemplate('{/'), hasTemplate('{x}')]).toEqual([true, false, false])
})

test('what is filled in is not filled in again', () => {
  expect(fill('{} {#}', { text: '{#} $& {}', number: 1 })).toBe('{#} $& {} 1')
})

test('words of a shell', () => {
  expect(['plain-1.txt', 'a b', `it's`, '', '$x'].map(shellWord)).toEqual([
    'plain-1.txt',
    `'a b'`,
    `'it'\\''s'`,
    `''`,
    `'$x'`
  ])
})

test('files have names inside of their folder', () => {
  const names = ['a/b', './a', 'a/../b', '/etc/hosts', '../x/y', 'a/../../b', '.', '/', '']
  expect(names.map(insideName)).toEqual(['a/b', 'a', 'b', 'hosts', 'y', 'b', undefined, undefined, undefined])
  const paths = ['a', 'a/../b', '../a', 'a/../../b', '/a', '.', '', 'a\0b']
  expect(paths.map(isInside)).toEqual([true, true, false, false, false, false, false, false])
})
