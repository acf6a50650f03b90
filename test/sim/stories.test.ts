/**
 * The stories that users are told happen as they are told: word by word as in golden/.
 *
 * Not here: the stories (stories.ts). A change that is meant is written by `npm run -s golden`, and read before it is committed.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { stories, tell } from './stories.ts'

const isUpdate = process.env.SHOAL_GOLDEN === 'update'

test.each(stories.map((story) => [story.name, story] as const))('%s', (name, story) => {
  const file = new URL(`golden/${name}.txt`, import.meta.url)
  const told = tell(story)
  // Also when the text is written anew.
  expect(told).toMatch(story.shows)
  if (isUpdate) writeFileSync(file, told)
  expect(told).toBe(readFileSync(file, 'utf8'))
})
