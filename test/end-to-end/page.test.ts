import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import fetch from 'node-fetch'
import type { Browser, Page } from 'playwright-core'
import { type Chain, startChain } from '../support/chain.ts'
import { startChromium } from '../support/chromium.ts'
import { cloneDatabase } from '../support/postgres.ts'

interface Job {
  job_id: number
  energy: { joules: number | null }
}

/** What axe found to be wrong, as far as the test reads it. */
interface Violation {
  id: string
  impact: string
  nodes: { html: string }[]
}

describe('the page in a real Chromium', function realChromium() {
  this.timeout(120_000)
  let chain: Chain | undefined
  let browser: Browser | undefined
  let page: Page
  const faults: string[] = []

  before(async function bringUp() {
    browser = await startChromium(this)
    const { url } = await cloneDatabase()
    chain = await startChain({ databaseUrl: url, historyHours: 2, fastSeconds: 1 })
  })

  beforeEach(async () => {
    assert.ok(browser && chain)
    page = await browser.newPage({ viewport: { width: 1280, height: 800 } })
    page.on('pageerror', ({ message }) => faults.push(message))
    page.on('console', (line) => line.type() === 'error' && faults.push(line.text()))
    await page.goto(chain.remoteWrite.url)
  })

  afterEach(async () => {
    await page.close()
    assert.deepEqual(faults, [])
  })

  after(async () => {
    await browser?.close()
    await chain?.close()
  })

  it('leads in two clicks to the job that used most, with the joules of the API', async () => {
    const { jobs } = (await (
      await fetch(`${chain?.remoteWrite.url}/api/v1/jobs?limit=500&state=ended`)
    ).json()) as { jobs: Job[] }
    const [most] = jobs.toSorted((a, b) => (b.energy.joules ?? 0) - (a.energy.joules ?? 0))
    await page.getByRole('link', { name: 'Jobs' }).click()
    await page.getByRole('searchbox').fill('completed')
    await page.locator('tbody a').first().click()
    await page.getByRole('heading', { name: `Job ${most?.job_id}` }).waitFor()
    const shown = page.locator('dl div', { hasText: 'Energy' }).locator('dd')
    const [number = '', unit = ''] = (await shown.first().innerText()).split(' ')
    const joules = Number(number) * { J: 1, kJ: 1e3, MJ: 1e6, GJ: 1e9 }[unit as 'J']
    assert.ok(Math.abs(joules / (most?.energy.joules ?? 0) - 1) < 0.01, `${number} ${unit}`)
    await page.locator('.uplot').waitFor()
  })

  it('shows the nodes, the power of the cabinets and what is lost', async () => {
    await page.locator('.uplot').waitFor()
    await page.getByText('The same as a table').click()
    assert.equal(await page.locator('figure tbody tr').count(), 14)
    const figures = await page.locator('.figures').innerText()
    assert.match(figures, /System\s+\d+\.\d+ kW[\s\S]*Devices silent\s+none/)
  })

  it('has nothing that axe finds serious, in light and dark', async () => {
    const axe = await readFile(
      createRequire(import.meta.url).resolve('axe-core/axe.min.js'),
      'utf8',
    )
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      for (const view of ['Now', 'Jobs']) {
        await page.getByRole('link', { name: view }).click()
        await page
          .locator(view === 'Now' ? '.uplot' : 'tbody a')
          .first()
          .waitFor()
        // The page itself allows no scripts but its own.
        await page.evaluate(axe)
        const found = (await page.evaluate('axe.run()')) as { violations: Violation[] }
        const serious = found.violations.filter(({ impact }) => /serious|critical/.test(impact))
        const words = serious.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)
        assert.deepEqual(words, [], `${view}, ${colorScheme}`)
      }
    }
  })

  it('fits a phone: nothing but wide tables scrolls sideways', async () => {
    await page.setViewportSize({ width: 390, height: 800 })
    for (const view of ['Now', 'Jobs']) {
      await page.getByRole('link', { name: view }).click()
      await page
        .locator(view === 'Now' ? '.uplot' : 'tbody a')
        .first()
        .waitFor()
      const wide = await page.evaluate('document.documentElement.scrollWidth - innerWidth')
      assert.ok(Number(wide) <= 0, `${view} is ${wide} pixels too wide`)
    }
  })

  it('says what went wrong when the record does not answer', async () => {
    await page.route('**/api/v1/jobs?*', (route) =>
      route.fulfill({ status: 503, json: { detail: 'no database' } }),
    )
    await page.getByRole('link', { name: 'Jobs' }).click()
    assert.match(await page.getByRole('alert').innerText(), /no database/)
    faults.length = 0
  })
})
