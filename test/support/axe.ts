import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import type { Page } from 'playwright-core'

/** What axe found to be wrong, as far as the test reads it. */
interface Violation {
  id: string
  impact: string
  nodes: { html: string }[]
}

const program = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

/** @throws where axe finds something serious or critical; `rules`: only by these. */
export async function expectNothingSerious(
  page: Page,
  where: string,
  rules?: readonly string[],
): Promise<void> {
  // The page itself allows no scripts but its own.
  await page.evaluate(await readFile(program, 'utf8'))
  const run = `axe.run(${JSON.stringify(rules ? { runOnly: rules } : {})})`
  const { violations } = (await page.evaluate(run)) as { violations: Violation[] }
  const serious = violations.filter(({ impact }) => /serious|critical/.test(impact))
  const words = serious.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)
  assert.deepEqual(words, [], where)
}
