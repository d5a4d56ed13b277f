import type { Express } from 'express'
import type { Pool } from 'pg'
import { z } from 'zod'
import { alertNames, runbookOf, siteLimits } from '../../dashboards/alerts.ts'
import { RequestError } from '../../exporter/service/request-error.ts'
import { secret } from '../../exporter/service/settings.ts'
import { query } from '../parameters.ts'
import { type Alert, alertSources, askAlerts } from './alerts.ts'
import { checkedAlerts, checkNewest } from './checks.ts'
import { shared } from './shared.ts'

/** Where the page's alerts come from. */
export const alertSettings = z
  .strictObject({
    /** Base URL of the Prometheus that evaluates dashboards/rules, or of its Alertmanager. */
    url: z.url({ protocol: /^https?$/ }).optional(),
    kind: z.enum(alertSources).default('prometheus'),
    /** A bearer token for it. */
    token: secret.optional(),
    /** A site's own site.yml, for the alerts that the record finds by itself. */
    limitsFile: z.string().optional(),
  })
  .prefault({})

export type AlertSettings = z.output<typeof alertSettings>

/** What `/api/v1/alerts` answers. */
export interface Alerts {
  time: Date
  /** Who found them; the record knows but few of the rules. */
  source: AlertSettings['kind'] | 'record'
  /** Where `remote_write.alerts.url` points; null: nowhere. */
  url: string | null
  /** Why that could not be asked. */
  error: string | null
  /** The names of all alerts that this source may tell; null: whatever its rules are. */
  known: readonly string[] | null
  alerts: Alert[]
  /** So many more fire. */
  more: number
}

const mostShown = 500
/** The record's own answer costs more than another's. */
const askedMs = 5000
const checkedMs = 15_000

/** Adds `/api/v1/alerts` and the runbooks. @throws {Error} where the file of limits is no such. */
export function addAlertRoutes(
  app: Express,
  pool: Pool,
  { settings, env }: { settings: AlertSettings; env: NodeJS.ProcessEnv },
): void {
  const { url, limitsFile } = settings
  const names = alertNames()
  const limits = siteLimits(limitsFile)
  const own = shared(checkedMs, () => checkNewest(pool, limits))
  const asked = url && shared(askedMs, () => askAlerts({ ...settings, url }, env, names))
  const read = async (): Promise<Alerts> => {
    const answer = { time: new Date(), url: url ?? null, error: null }
    const asRecord = async (error: string | null) => ({
      ...{ ...answer, error, source: 'record' as const, known: checkedAlerts },
      ...firstOf(await query(own())),
    })
    if (!asked) return await asRecord(null)
    try {
      return { ...answer, source: settings.kind, known: null, ...firstOf(await asked()) }
    } catch (error) {
      return await asRecord((error as Error).message)
    }
  }
  app.get('/api/v1/alerts', async (_request, response) => {
    response.send(await read())
  })
  app.get('/api/v1/runbooks/:alert', async ({ params: { alert } }, response) => {
    if (!names.has(alert)) throw new RequestError(404, 'not_found', `no runbook of ${alert}`)
    response.type('text/markdown').send(await runbookOf(alert))
  })
}

function firstOf(found: readonly Alert[]): Pick<Alerts, 'alerts' | 'more'> {
  const alerts = found.toSorted(
    (a, b) => rank(a) - rank(b) || a.alert.localeCompare(b.alert) || placeOrder(a, b),
  )
  return { alerts: alerts.slice(0, mostShown), more: Math.max(0, found.length - mostShown) }
}

function rank({ severity }: Alert): number {
  const at = ['critical', 'warning', 'info'].indexOf(severity)
  return at < 0 ? 3 : at
}

function placeOrder(a: Alert, b: Alert): number {
  return (a.place ?? '').localeCompare(b.place ?? '', 'en', { numeric: true })
}
