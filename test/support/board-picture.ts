import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import type { Browser } from 'playwright-core'
import type { Board, Panel, Target } from '../../dashboards/source/board.ts'
import { heightOf, reach } from '../../dashboards/source/board-json.ts'
import { limitOf } from '../../dashboards/source/limits.ts'
import type { Answer } from './board-answers.ts'

/** How a panel is drawn: what the page's script needs, no more. */
interface Drawing {
  kind: Panel['kind']
  title: string
  unit: string
  width: number
  height: number
  stacked: boolean
  empty: string
  limits: { value: number; color: string }[]
  words: Panel['words']
  /** What the axis must take in. */
  min?: number
  least?: number
  most?: number
  badAbove: number | undefined
  series: { name: string; points: [number, number][] }[]
  columns: { name: string; title: string; unit: string }[]
  rows: Record<string, unknown>[]
}

/** What each panel of a dashboard answers, over which time. */
export interface Drawn {
  answers: ReadonlyMap<Panel, readonly Answer[]>
  from: Date
  to: Date
}

/** The dashboard as PNG, and how many charts are in it. @throws what the page's script throws. */
export async function drawBoard(browser: Browser, board: Board, drawn: Drawn) {
  const page = await browser.newPage({ viewport: { width: 1400, height: 700 } })
  const faults: Error[] = []
  page.on('pageerror', (fault) => faults.push(fault))
  await page.setContent(await boardPage(board, drawn))
  const charts = await page.locator('.uplot').count()
  const picture = await page.screenshot({ fullPage: true })
  await page.close()
  if (faults[0]) throw faults[0]
  return { charts, picture }
}

const require = createRequire(import.meta.url)

/** A page that draws a dashboard as Grafana would roughly, from real answers. */
async function boardPage(board: Board, { answers, from, to }: Drawn): Promise<string> {
  const rows = board.rows.map(({ title, panels }) => ({
    title,
    panels: panels.map((panel) => drawing(panel, answers.get(panel) ?? [])),
  }))
  const charts = require.resolve('uplot')
  const script = await readFile(charts.replace(/uPlot\.[^/]*$/, 'uPlot.iife.min.js'), 'utf8')
  const style = await readFile(charts.replace(/uPlot\.[^/]*$/, 'uPlot.min.css'), 'utf8')
  const page = await readFile(new URL('board-page.html', import.meta.url), 'utf8')
  const { title, description } = board
  const span = [from, to].map((time) => time.getTime() / 1000)
  const data = { title, description, rows, span }
  return page
    .replace('/* uPlot.css */', () => style)
    .replace('/* uPlot.js */', () => script)
    .replace('/* data */', () => JSON.stringify(data).replaceAll('<', '\\u003c'))
}

function drawing(panel: Panel, answers: readonly Answer[]): Drawing {
  const series = answers.flatMap((answer, i) =>
    'series' in answer
      ? answer.series.map(({ labels, points }) => ({
          name: nameOf(panel.targets[i], labels),
          points,
        }))
      : [],
  )
  return {
    kind: panel.kind,
    title: panel.title,
    unit: panel.unit,
    width: panel.width,
    height: heightOf(panel),
    badAbove: panel.badAbove,
    ...reach(panel),
    stacked: panel.stacked ?? false,
    empty: panel.mayBeEmpty ?? 'no data',
    limits: limitLines(panel),
    words: panel.words,
    ...(panel.min !== undefined && { min: panel.min }),
    series,
    columns: (panel.columns ?? []).map(({ name, title, unit = 'string' }) => ({
      name,
      title,
      unit,
    })),
    rows: answers.flatMap((answer) => ('rows' in answer ? answer.rows.slice(0, 12) : [])),
  }
}

function nameOf(target: Target | undefined, labels: Record<string, string>): string {
  const legend = target && 'promql' in target ? (target.legend ?? '') : ''
  return legend.replace(/\{\{(\w+)\}\}/g, (_, label: string) => labels[label] ?? '').trim()
}

function limitLines({ limits: { above = {}, below = {} } = {} }: Panel) {
  const line = (name: string | undefined, color: string) =>
    name === undefined ? [] : [{ value: limitOf(name), color }]
  return [above, below].flatMap(({ warning, critical }) => [
    ...line(warning, '#e0a800'),
    ...line(critical, '#d64545'),
  ])
}
