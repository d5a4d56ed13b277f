import fetch from 'node-fetch'
import type { Pool } from 'pg'
import type { Board, Panel, Target } from '../../dashboards/source/board.ts'

/** What a panel would show: of each target, its series or its rows. */
export type Answer =
  | { series: { labels: Record<string, string>; points: [seconds: number, value: number][] }[] }
  | { rows: Record<string, unknown>[] }

/** Where the answers come from, and for which time and choice of the variables. */
export interface Sources {
  prometheusUrl: string
  pool: Pool
  from: Date
  to: Date
  stepSeconds: number
  scrapeSeconds: number
  /** As Grafana would put them into a query; a multi-value variable as a regular expression. */
  variables: Readonly<Record<string, string>>
}

/** @throws with the panel's name when a query is refused. */
export async function answerPanel(board: Board, panel: Panel, from: Sources): Promise<Answer[]> {
  return await Promise.all(
    panel.targets.map((target) =>
      answer(target, panel, from).catch((error: unknown) => {
        throw new Error(`${board.title}: ${panel.title}: ${String(error)}`)
      }),
    ),
  )
}

export function isEmpty(answer: Answer): boolean {
  return 'rows' in answer ? answer.rows.length === 0 : answer.series.length === 0
}

async function answer(target: Target, panel: Panel, sources: Sources): Promise<Answer> {
  if ('sql' in target) {
    const { rows } = await sources.pool.query(interpolate(target.sql, sources))
    return { rows }
  }
  const query = interpolate(target.promql, sources)
  if (target.instant) return rowsOrSeries(panel, await ask(sources, 'query', { query }))
  const parameters = {
    query,
    start: String(sources.from.getTime() / 1000),
    end: String(sources.to.getTime() / 1000),
    step: String(sources.stepSeconds),
  }
  return rowsOrSeries(panel, await ask(sources, 'query_range', parameters))
}

type Point = [seconds: number, value: string]

interface Found {
  metric: Record<string, string>
  value?: Point
  values?: Point[]
}

function rowsOrSeries({ kind }: Panel, found: readonly Found[]): Answer {
  if (kind === 'table') return { rows: found.map(({ metric }) => metric) }
  const series = found.map(({ metric, value, values }) => ({
    labels: metric,
    points: (values ?? (value ? [value] : [])).map(([seconds, text]): [number, number] => [
      seconds,
      Number(text),
    ]),
  }))
  return { series }
}

async function ask(
  { prometheusUrl, to }: Sources,
  path: string,
  parameters: Record<string, string>,
): Promise<readonly Found[]> {
  const time = String(to.getTime() / 1000)
  const body = new URLSearchParams({ ...parameters, time })
  const response = await fetch(`${prometheusUrl}/api/v1/${path}`, { method: 'POST', body })
  const read = (await response.json()) as {
    status: string
    error?: string
    data: { result: readonly Found[] }
  }
  if (read.status !== 'success') throw new Error(`${parameters['query']}: ${read.error}`)
  return read.data.result
}

/** What Grafana does with variables and macros before it asks. */
function interpolate(text: string, sources: Sources): string {
  const { from, to, stepSeconds, scrapeSeconds, variables } = sources
  const seconds = Math.round((to.getTime() - from.getTime()) / 1000)
  const macros: Record<string, string> = {
    __rate_interval: `${Math.max(stepSeconds + scrapeSeconds, 4 * scrapeSeconds)}s`,
    __range: `${seconds}s`,
    __range_s: String(seconds),
  }
  return (
    text
      .replaceAll('$__timeFrom()', `'${from.toISOString()}'`)
      .replaceAll('$__timeTo()', `'${to.toISOString()}'`)
      // $1 is a group of label_replace.
      .replace(
        /\$\{(\w+):(\w+)\}|\$([a-z_]\w*)/g,
        (whole, name: string, format: string, bare: string) => {
          const value = macros[bare] ?? variables[name ?? bare]
          if (value === undefined) throw new Error(`${whole} stands for nothing`)
          return format === 'sqlstring' ? `'${value.replaceAll("'", "''")}'` : value
        },
      )
  )
}
