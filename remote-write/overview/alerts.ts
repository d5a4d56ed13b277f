import fetch from 'node-fetch'
import { z } from 'zod'
import { withDeadline } from '../../exporter/service/deadline.ts'
import { readSecret, type Secret } from '../../exporter/service/settings.ts'

/** An alert that fires. */
export interface Alert {
  alert: string
  severity: string
  /** The xname of what it is about; null: no one thing. */
  place: string | null
  /** Null: not known. */
  since: string | null
  summary: string
  description: string
  /** It has a text on what to do, at `/api/v1/runbooks/`. */
  runbook: boolean
}

export const alertSources = ['prometheus', 'alertmanager'] as const
export type AlertSource = (typeof alertSources)[number]

export interface AlertPlace {
  /** The base URL of a Prometheus or an Alertmanager. */
  url: string
  kind: AlertSource
  token?: Secret | undefined
}

const timeoutMs = 5000
const largestBody = 8 * 1024 * 1024

/** An Alertmanager leaves out what is silenced or inhibited. */
const paths: Record<AlertSource, string> = {
  prometheus: '/api/v1/alerts',
  alertmanager: '/api/v2/alerts?active=true&silenced=false&inhibited=false',
}

/** Alerts that fire there, in its order. @throws {Error} that names the place. */
export async function askAlerts(
  { url, kind, token }: AlertPlace,
  env: NodeJS.ProcessEnv,
  named: ReadonlySet<string>,
): Promise<Alert[]> {
  const where = `${url.replace(/\/+$/, '')}${paths[kind]}`
  const headers: Record<string, string> = { accept: 'application/json' }
  try {
    if (token) headers['authorization'] = `Bearer ${await readSecret(token, env)}`
    const body = await withDeadline(timeoutMs, [], async (signal) => {
      const response = await fetch(where, { headers, redirect: 'error', size: largestBody, signal })
      if (!response.ok) throw new Error(`HTTP ${response.status}`)
      return await response.json()
    })
    return parseAlerts(body, kind, named)
  } catch (cause) {
    const { message } = cause as Error
    throw new Error(`${where}: ${message}`, { cause })
  }
}

const texts = z.record(z.string(), z.string())

/** Prometheus, "HTTP API", Alerts: those that only wait to fire are pending. */
const prometheusAnswer = z.object({
  data: z.object({
    alerts: z.array(
      z.object({ labels: texts, annotations: texts, state: z.string(), activeAt: z.string() }),
    ),
  }),
})

/** Alertmanager, api/v2/openapi.yaml, gettableAlert. */
const alertmanagerAnswer = z.array(
  z.object({ labels: texts, annotations: texts, startsAt: z.string() }),
)

function parseAlerts(body: unknown, kind: AlertSource, named: ReadonlySet<string>): Alert[] {
  const fault = `expected the alerts of ${kind === 'prometheus' ? 'Prometheus' : 'Alertmanager'}`
  if (kind === 'prometheus') {
    const { data } = prometheusAnswer.safeParse(body)
    if (data === undefined) throw new Error(fault)
    return data.data.alerts
      .filter(({ state }) => state === 'firing')
      .map(({ activeAt, ...rest }) => toAlert({ ...rest, since: activeAt }, named))
  }
  const { data } = alertmanagerAnswer.safeParse(body)
  if (data === undefined) throw new Error(fault)
  return data.map(({ startsAt, ...rest }) => toAlert({ ...rest, since: startsAt }, named))
}

interface Told {
  labels: Record<string, string>
  annotations: Record<string, string>
  since: string
}

/** Rules that Grafana evaluates carry the alert's own name in a label. */
function toAlert({ labels, annotations, since }: Told, named: ReadonlySet<string>): Alert {
  const alert = labels['alert'] ?? labels['alertname'] ?? ''
  return {
    alert,
    severity: labels['severity'] ?? '',
    place: labels['xname'] ?? labels['cabinet'] ?? null,
    since,
    summary: annotations['summary'] ?? alert,
    description: annotations['description'] ?? '',
    runbook: named.has(alert),
  }
}
