import type { Board, Panel } from './board.ts'
import { panelId, provisioned } from './board-json.ts'

/** An alert of the rules in Prometheus' format. */
export interface PrometheusAlert {
  alert: string
  expr: string
  for: string
  keep_firing_for?: string
  labels: Readonly<Record<string, string>>
  annotations: Readonly<Record<string, string>>
}

export interface AlertGroup {
  name: string
  /** Such as `30s`; Grafana wants multiples of 10 s. */
  interval: string
  alerts: readonly PrometheusAlert[]
}

/**
 * The alerts as rules that Grafana itself evaluates, in the form of its provisioning files,
 * apiVersion 1 (Grafana's documentation: Use configuration files to provision alerting resources).
 * Recording rules stay with Prometheus: Grafana asks it for the expression, and whatever series it
 * answers fire. An empty answer is well.
 */
export function alertProvisioning(groups: readonly AlertGroup[], boards: readonly Board[]) {
  return {
    apiVersion: 1,
    groups: groups.map(({ name, interval, alerts }) => ({
      orgId: 1,
      name,
      folder: 'Joulebridge',
      interval,
      rules: alerts.map((alert) => grafanaRule(alert, boards)),
    })),
  }
}

function grafanaRule(rule: PrometheusAlert, boards: readonly Board[]) {
  const { alert, labels } = rule
  return {
    uid: alertUid(rule),
    title: [alert, labels['level'], labels['severity']].filter((word) => word).join(' '),
    condition: 'fires',
    data: [
      query('answer', provisioned.prometheus.uid, { expr: rule.expr.trim(), instant: true }),
      expression('there', { type: 'math', expression: 'is_number($answer) || is_inf($answer)' }),
      expression('fires', {
        type: 'threshold',
        expression: 'there',
        conditions: [{ evaluator: { type: 'gt', params: [0] } }],
      }),
    ],
    noDataState: 'OK',
    execErrState: 'Error',
    for: rule.for,
    ...(rule.keep_firing_for && { keepFiringFor: rule.keep_firing_for }),
    ...panelOf(alert, boards),
    annotations: { ...texts(rule.annotations), ...panelAnnotations(panelOf(alert, boards)) },
    // `alertname` will be the title; inhibition and routing go by `alert`.
    labels: { ...escaped(labels), alert },
  }
}

/** At most 40 characters, as Grafana wants. */
export function alertUid({ alert, labels }: Pick<PrometheusAlert, 'alert' | 'labels'>): string {
  const words = alert.replace(/(?<=[a-z])[A-Z]/g, '-$&').toLowerCase()
  return ['jb', words, labels['level'], labels['severity']].filter((word) => word).join('-')
}

function query(refId: string, datasourceUid: string, model: object) {
  const relativeTimeRange = { from: 600, to: 0 }
  return { refId, datasourceUid, relativeTimeRange, model: { refId, ...model } }
}

function expression(refId: string, model: object) {
  return query(refId, '__expr__', { datasource: { type: '__expr__', uid: '__expr__' }, ...model })
}

/** In Grafana `$value` is a text about all queries; the number is that of the query. */
function texts(annotations: PrometheusAlert['annotations']): Record<string, string> {
  return Object.fromEntries(
    Object.entries(annotations).map(([name, text]) => [
      name === 'runbook' ? 'runbook_url' : name,
      text.replaceAll('$value', '$values.answer.Value'),
    ]),
  )
}

/**
 * Grafana puts its environment into labels of a provisioned rule, not into annotations and queries
 * (grafana/grafana, pkg/services/provisioning/alerting/rules_types.go): `$labels` would be empty.
 */
function escaped(labels: PrometheusAlert['labels']): Record<string, string> {
  return Object.fromEntries(
    Object.entries(labels).map(([name, text]) => [name, text.replaceAll('$', () => '$$')]),
  )
}

interface PanelPlace {
  dashboardUid: string
  panelId: number
}

function panelAnnotations({ dashboardUid, panelId: id }: PanelPlace): Record<string, string> {
  return { __dashboardUid__: dashboardUid, __panelId__: String(id) }
}

function panelOf(alert: string, boards: readonly Board[]): PanelPlace {
  for (const board of boards) {
    const panel = panelsOf(board).find(({ alerts = [] }) => alerts.includes(alert))
    if (panel) return { dashboardUid: board.uid, panelId: panelId(panel) }
  }
  throw new Error(`no panel of a dashboard names the alert ${alert}`)
}

export function panelsOf({ rows }: Board): readonly Panel[] {
  return rows.flatMap(({ panels }) => panels)
}
