import assert from 'node:assert/strict'
import fetch from 'node-fetch'
import type { Browser, Page } from 'playwright-core'
import { expectNothingSerious } from '../support/axe.ts'
import { type Chain, chainControlToken, factors, startChain } from '../support/chain.ts'
import { startChromium } from '../support/chromium.ts'
import { cloneDatabase } from '../support/postgres.ts'

interface Job {
  job_id: number
  energy: { joules: number | null }
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
    chain = await startChain({ databaseUrl: url, historyHours: 1, fastSeconds: 1 })
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

  const ago = (seconds: number) => new Date(Date.now() - seconds * 1000).toISOString()

  const tell = async (events: object[]) => {
    const response = await fetch(`${chain?.remoteWrite.url}/api/v1/jobs/events`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ events }),
    })
    assert.equal(response.status, 200, await response.text())
  }

  const search = async (word: string) => {
    const answered = page.waitForResponse((response) => response.url().includes(`search=${word}`))
    await page.getByRole('searchbox').fill(word)
    await answered
  }

  it('leads in two clicks to the job that used most, with the joules of the API', async () => {
    const { jobs } = (await (
      await fetch(`${chain?.remoteWrite.url}/api/v1/jobs?limit=500&state=ended`)
    ).json()) as { jobs: Job[] }
    const [most] = jobs.toSorted((a, b) => (b.energy.joules ?? 0) - (a.energy.joules ?? 0))
    // More than a list holds have started since.
    await tell(
      Array.from({ length: 600 }, (_, i) => ({
        ...{ type: 'run', cluster: 'other', job_id: i, time: ago(60), told_at: ago(0) },
        ...{ ended_at: ago(30), state: 'COMPLETED', nodelist: 'elsewhere1' },
      })),
    )
    await page.getByRole('link', { name: 'Jobs' }).click()
    await search('completed')
    await page.getByText('The 500 jobs that used most').waitFor()
    await page.locator('tbody a').first().click()
    await page.getByRole('heading', { name: `Job ${most?.job_id}` }).waitFor()
    const shown = page.locator('dl div', { hasText: 'Energy' }).locator('dd')
    const [number = '', unit = ''] = (await shown.first().innerText()).split(' ')
    const joules = Number(number) * { J: 1, kJ: 1e3, MJ: 1e6, GJ: 1e9 }[unit as 'J']
    assert.ok(Math.abs(joules / (most?.energy.joules ?? 0) - 1) < 0.01, `${number} ${unit}`)
    await page.locator('.uplot').waitFor()
  })

  it('shows the jobs that started last while the ranking takes long', async () => {
    const ranked = new Promise<void>((resolve) => {
      void page.route('**/api/v1/jobs?*sort=energy*', async (route) => {
        await page.getByText('Until then, those that started last').waitFor()
        await page.locator('tbody a').first().waitFor()
        resolve()
        await route.continue()
      })
    })
    await page.getByRole('link', { name: 'Jobs' }).click()
    await ranked
    await page.getByText('Until then').waitFor({ state: 'detached' })
    await page.locator('tbody a').first().waitFor()
    assert.equal(await page.locator('th[aria-sort=descending]').innerText(), 'Energy ▾')
  })

  it('tells what a job cost, its steps, and how its energy was reckoned', async () => {
    const [ended] = (await chain?.endedJobs()) ?? []
    const { started_at: time, ended_at } = ended ?? { started_at: '', ended_at: '' }
    const step = { step: 'solver', started_at: time, ended_at }
    const facts = { nodelist: 'nid000001', told_at: ended_at, state: 'COMPLETED', steps: [step] }
    await tell([{ type: 'run', cluster: 'simulated', job_id: 99_999, time, ended_at, ...facts }])
    await page.goto(`${chain?.remoteWrite.url}/#/jobs/simulated/99999`)
    await page.getByRole('heading', { name: 'Its steps' }).waitFor()
    const energy = await chain?.energyOf({ job_id: 99_999 })
    const cost = ((energy?.joules ?? 0) / 3.6e6) * factors.pricePerKwh
    assert.ok(cost > 0)
    const figures = await page.locator('.figures').innerText()
    assert.ok(figures.includes(`${cost.toFixed(2)} JPY`), figures)
    const row = page.getByRole('row', { name: /^solver / })
    const shown = await page.locator('dd').first().innerText()
    assert.ok((await row.innerText()).includes(shown), `the only step used ${shown}`)
    await page.getByText('Edges, resets and gaps').click()
    const explained = page.locator('pre')
    await explained.waitFor()
    const sum = /energy = sum of \d+ parts = ([\d.]+) J/.exec(await explained.innerText())
    assert.equal(Number(sum?.[1]), energy?.joules)
    await expectNothingSerious(page, 'Job')
  })

  it('shows the nodes, the power of the cabinets and what is lost', async () => {
    await page.locator('.uplot').waitFor()
    await page.getByText('The same as a table').click()
    await page.locator('figure tbody tr').first().waitFor()
    assert.equal(await page.locator('figure tbody tr').count(), 14)
    const figures = await page.locator('.figures').innerText()
    assert.match(figures, /System\s+\d+\.\d+ kW[\s\S]*Alerts firing\s+none\s+Devices silent\s+none/)
    await page.getByText('the record looks by itself').waitFor()
  })

  it('leads from a node on the map to its power over time and its jobs', async () => {
    const map = page.getByRole('img', { name: /14 nodes by cabinet/ })
    await map.click({ position: { x: 13, y: 31 } })
    await page.getByRole('heading', { name: 'x1000c0s0b0n0' }).waitFor()
    await page.getByRole('img', { name: 'Power of x1000c0s0b0n0' }).waitFor()
    await page.locator('tbody a').first().waitFor()
    const listed = await page.locator('tbody a').count()
    const since = `since=${ago(6 * 3600)}&limit=500`
    const { jobs } = (await (
      await fetch(`${chain?.remoteWrite.url}/api/v1/jobs?xname=x1000c0s0b0n0&${since}`)
    ).json()) as { jobs: Job[] }
    const all = (await chain?.endedJobs()) ?? []
    assert.ok(jobs.length < all.length)
    assert.equal(listed, Math.min(jobs.length, 100))
    await expectNothingSerious(page, 'Node')
  })

  it('is sent compressed, and not again while it is the same', async () => {
    const url = `${chain?.remoteWrite.url}/page.js`
    const first = await fetch(url)
    assert.equal(first.headers.get('content-encoding'), 'gzip')
    assert.match(await first.text(), /Joulebridge/)
    const etag = first.headers.get('etag') ?? ''
    const again = await fetch(url, { headers: { 'if-none-match': etag } })
    assert.equal(again.status, 304)
    const plain = await fetch(url, { headers: { 'accept-encoding': 'identity' } })
    assert.equal(plain.headers.get('content-encoding'), null)
    assert.notEqual(plain.headers.get('etag'), etag)
  })

  it('has nothing that axe finds serious, in light and dark', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      for (const view of ['Now', 'Jobs']) {
        await page.getByRole('link', { name: view }).click()
        await page
          .locator(view === 'Now' ? '.uplot' : 'tbody a')
          .first()
          .waitFor()
        if (view === 'Jobs') await search('node-check')
        // Only colours differ.
        const rules = colorScheme === 'dark' ? ['color-contrast'] : undefined
        await expectNothingSerious(page, `${view}, ${colorScheme}`, rules)
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
      await expectNothingSerious(page, `${view} on a phone`, ['scrollable-region-focusable'])
    }
  })

  it('switches off a node for who has the token: plan, progress, audit', async () => {
    await page.goto(`${chain?.control.url}`)
    await page.getByLabel('Your token').fill(chainControlToken)
    await page.getByRole('button', { name: 'Use it' }).click()
    await page.getByRole('searchbox').fill('x1000c0s1b0n0 on')
    await page.getByLabel('x1000c0s1b0n0').check()
    await page.getByLabel('Operation').selectOption('Off')
    await page.getByLabel('Reason').fill('a test of the page')
    await page.getByLabel('also under running jobs').check()
    await page.getByRole('button', { name: 'Show the plan' }).click()
    const plan = page.getByRole('row', { name: /1 x1000c0s1b0n0 send .*"ResetType":"Off"/ })
    await plan.waitFor()
    assert.equal(await page.getByText('None yet.').count(), 1, 'a plan stores nothing')
    await expectNothingSerious(page, 'Power')
    await page.getByRole('button', { name: 'Off now' }).click()
    await page.getByText('completed, succeeded. Of 1 components 1 succeeded').waitFor()
    await page.getByRole('row', { name: /x1000c0s1b0n0 succeeded On → Off/ }).waitFor()
    await page.getByRole('row', { name: /ended .*x1000c0s1b0n0/ }).waitFor()
    await page.getByRole('row', { name: /accepted token .*a test of the page/ }).waitFor()
    await expectNothingSerious(page, 'Transition')
    await page.getByRole('link', { name: 'Power' }).click()
    await page.getByRole('searchbox').fill('x1000c0s1b0n0 off')
    await page.getByLabel('x1000c0s1b0n0').waitFor()
    await page.getByRole('link', { name: 'Now' }).click()
    await page.getByText('Power of the cabinets').waitFor()
  })

  it('says so when the token of power control is wrong, and forgets it when told', async () => {
    await page.goto(`${chain?.control.url}`)
    await page.getByLabel('Your token').fill('not-the-token')
    await page.getByRole('button', { name: 'Use it' }).click()
    await page.getByRole('alert').first().waitFor()
    assert.match(await page.getByRole('alert').first().innerText(), /bearer token is wrong/)
    await page.getByRole('button', { name: 'Forget the token' }).click()
    await page.getByLabel('Your token').waitFor()
    assert.equal(await page.evaluate('sessionStorage.length'), 0)
    // Chromium tells of each 401.
    faults.length = 0
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
