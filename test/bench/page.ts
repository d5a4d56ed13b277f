import { type Browser, chromium, type Page } from 'playwright-core'
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
  { key: 'hover_longest_task_seconds', most: 0.05, words: 'page: longest task of hovering, CPU s' },
  {
    key: 'scroll_longest_task_seconds',
    most: 0.05,
    words: 'page: longest task of scrolling, CPU s',
  },
  { key: 'component_rows', most: 100, words: 'page: rows made of 10,000 components' },
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
    const loadingTask = await longestTask(page, async () => {
      await page.goto(service.url)
      await page.getByRole('img', { name: `${nodes} nodes` }).waitFor()
      await page.locator('.uplot').waitFor()
    })
    const loading = await page.evaluate<Record<string, number>>(measureLoading)
    const hovering = await longestTask(page, () => hover(page))
    const switching = await scrollComponents(browser)
    return {
      ...loading,
      loading_longest_task_seconds: loadingTask,
      hover_longest_task_seconds: hovering,
      ...switching,
    }
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
  app.get('/api/v1/alerts', (_request, response) => {
    response.send({ source: 'record', url: null, error: null, ...madeUpAlerts() })
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

/** As many as the record sends at most. */
function madeUpAlerts() {
  const alerts = madeUpNodes()
    .slice(0, 500)
    .map(({ xname }) => ({
      ...{ alert: 'NodePowerMissing', severity: 'warning', place: xname, since: null },
      ...{ summary: `Node ${xname} is on and tells no power`, description: '', runbook: true },
    }))
  return { known: null, alerts, more: 0 }
}

/** Power control with as many components. */
function madeUpControl() {
  const log = createLog('bench', { level: 'silent', format: 'json' })
  const app = createApp({ log, registry: new Registry(), ready: async () => {} })
  addPage(app, { service: 'control' })
  app.get('/power-status', (_request, response) => {
    const on = { powerState: 'on', error: '', changedAt: new Date() }
    response.send({ status: madeUpNodes().map(({ xname }) => ({ xname, ...on })) })
  })
  app.get('/transitions', (_request, response) => {
    response.send({ transitions: [] })
  })
  return finishApp(app, log)
}

async function scrollComponents(browser: Browser): Promise<Record<string, number>> {
  const service = await listen(madeUpControl(), '127.0.0.1:0')
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } })
    await page.goto(service.url)
    await page.getByLabel('Your token').fill('any')
    await page.getByRole('button', { name: 'Use it' }).click()
    const list = page.getByRole('region', { name: 'Components' })
    await list.locator('tr.row').first().waitFor()
    await list.hover()
    const longest = await longestTask(page, async () => {
      for (let i = 0; i < moves; i++) await page.mouse.wheel(0, 400)
    })
    const rows = await list.locator('tr.row').count()
    return { scroll_longest_task_seconds: longest, component_rows: rows }
  } finally {
    await service.close()
  }
}

/**
 * CPU seconds of the longest task of the page's own thread: what others do on the machine delays
 * tasks, and would seem jank.
 */
async function longestTask(page: Page, work: () => Promise<void>): Promise<number> {
  const browser = page.context().browser()
  await browser?.startTracing(page, { categories: ['toplevel', 'devtools.timeline'] })
  await work()
  const trace = JSON.parse(String(await browser?.stopTracing())) as { traceEvents: TraceEvent[] }
  const own = new Set(
    trace.traceEvents
      .filter(({ name, args }) => name === 'thread_name' && args?.name === 'CrRendererMain')
      .map(({ pid, tid }) => `${pid} ${tid}`),
  )
  const tasks = trace.traceEvents.filter(
    ({ name, pid, tid, tdur }) => /RunTask$/.test(name) && tdur && own.has(`${pid} ${tid}`),
  )
  if (tasks.length === 0) throw new Error('the trace of Chromium has no tasks')
  return Math.max(...tasks.map(({ tdur = 0 }) => tdur)) / 1e6
}

/** Chromium's trace event format; `tdur` is thread time in microseconds. */
interface TraceEvent {
  name: string
  pid: number
  tid: number
  tdur?: number
  args?: { name?: string }
}

/** Over the map from end to end, as a hand would. */
async function hover(page: Page): Promise<void> {
  const picture = page.getByRole('img', { name: `${nodes} nodes` })
  // Alerts may stand above it.
  await page.evaluate("document.querySelector('canvas').scrollIntoView()")
  const map = await picture.boundingBox()
  if (!map) throw new Error('the map is not shown')
  const height = Math.min(map.height, 790 - map.y)
  for (let i = 0; i < moves; i++) {
    const part = i / moves
    await page.mouse.move(map.x + ((part * 9) % 1) * map.width, map.y + part * height)
  }
  await page.mouse.move(map.x + 3, map.y + 21)
  const words = await page.locator('figcaption b').count()
  if (words === 0) throw new Error('the page does not say which node the mouse is at')
}

const measureLoading = `({
  first_paint_seconds: performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000,
  all_drawn_seconds: performance.now() / 1000,
})`
