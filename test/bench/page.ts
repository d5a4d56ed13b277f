import { chromium, type Page } from 'playwright-core'
import { Registry } from 'prom-client'
import { addPage } from '../../dashboards/page/serve.ts'
import { findProgram } from '../../exporter/service/child.ts'
import { createApp, finishApp, listen } from '../../exporter/service/http.ts'
import { createLog } from '../../exporter/service/log.ts'
import { quietFlags } from '../support/chromium.ts'

export const name = 'page'
export const title = 'The page with 10,000 nodes in a real Chromium'
export const goals = [
  { key: 'first_paint_seconds', most: 1, words: 'page: first paint, seconds' },
  { key: 'hover_longest_task_seconds', most: 0.05, words: 'page: longest task of hovering, s' },
]

const nodes = 10_000
const moves = 300

/** CPU of one machine for server and browser alike. */
export async function run(): Promise<Record<string, number>> {
  const executablePath = await findProgram('chromium', process.env)
  if (executablePath === undefined) throw new Error('no chromium in PATH')
  const service = await listen(madeUpRecord(), '127.0.0.1:0')
  const browser = await chromium.launch({ executablePath, args: quietFlags })
  try {
    // The first request bundles the sources, which a release does not.
    await (await fetch(`${service.url}/page.js`)).text()
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } })
    await page.addInitScript(watchTasks)
    await page.goto(service.url)
    await page.getByRole('img', { name: `${nodes} nodes` }).waitFor()
    await page.locator('.uplot').waitFor()
    const loading = await page.evaluate<Record<string, number>>(measureLoading)
    return { ...loading, ...(await hover(page)) }
  } finally {
    await browser.close()
    await service.close()
  }
}

/** With the answers of a system of 40 cabinets, of which the page draws all. */
function madeUpRecord() {
  const log = createLog('bench', { level: 'silent', format: 'json' })
  const app = createApp({ log, registry: new Registry(), ready: async () => {} })
  addPage(app, { service: 'record' })
  app.get('/api/v1/overview', (_request, response) => {
    response.send({ time: new Date(), nodes: madeUpNodes(), cabinets: [], silent: [] })
  })
  app.get('/api/v1/overview/power', (_request, response) => {
    const lines = Array.from({ length: 40 }, (_, i) => ({
      xname: `x${1000 + i}`,
      watts: Array.from({ length: 200 }, (_, step) => 2e5 + 1e4 * Math.sin(step / 9 + i)),
    }))
    response.send({ from: new Date(Date.now() - 6 * 3_600_000), step_seconds: 108, lines })
  })
  return finishApp(app, log)
}

/** 250 in each cabinet, in slots of two boards with two nodes. */
function madeUpNodes() {
  return Array.from({ length: nodes }, (_, i) => {
    const [cabinet, place] = [1000 + Math.floor(i / 250), i % 250]
    const [chassis, inChassis] = [Math.floor(place / 32), place % 32]
    const slot = `s${Math.floor(inChassis / 4)}b${Math.floor(inChassis / 2) % 2}n${inChassis % 2}`
    return {
      xname: `x${cabinet}c${chassis}${slot}`,
      power_watts: 400 + 300 * Math.sin(i),
      temperature_celsius: 40 + 10 * Math.sin(i / 7),
      job_ids: [i % 97],
    }
  })
}

/** Over the map from end to end, as a hand would. */
async function hover(page: Page): Promise<Record<string, number>> {
  const map = await page.getByRole('img', { name: `${nodes} nodes` }).boundingBox()
  if (!map) throw new Error('the map is not shown')
  await page.evaluate('longest = 0')
  const height = Math.min(map.height, 790 - map.y)
  for (let i = 0; i < moves; i++) {
    const part = i / moves
    await page.mouse.move(map.x + ((part * 9) % 1) * map.width, map.y + part * height)
  }
  await page.mouse.move(map.x + 3, map.y + 21)
  const words = await page.locator('figcaption b').count()
  if (words === 0) throw new Error('the page does not say which node the mouse is at')
  const longest = Number(await page.evaluate('longest'))
  return { hover_longest_task_seconds: longest / 1000 }
}

/** In the page: the longest time that a timer of 4 ms came late, in ms. */
const watchTasks = `
  globalThis.longest = 0
  let last = performance.now()
  setInterval(() => {
    const now = performance.now()
    longest = Math.max(longest, now - last - 4)
    last = now
  }, 4)`

const measureLoading = `({
  first_paint_seconds: performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000,
  all_drawn_seconds: performance.now() / 1000,
  loading_longest_task_seconds: longest / 1000,
})`
