import type { Pool } from 'pg'
import type { Alert } from './alerts.ts'

type Limits = ReadonlyMap<string, number>
type Labels = Readonly<Record<string, string>>

/** One of the alerts of dashboards/rules whose expression is the newest sample and a limit. */
interface Check {
  alert: string
  metric: string
  /** As `matching_series()` takes them. */
  matchers: object
  severity: (value: number, labels: Labels, limits: Limits) => string | undefined
  summary: (place: string, value: number) => string
}

const checks: readonly Check[] = [
  {
    ...{ alert: 'LeakDetected', metric: 'cray_leak_alarm_state' },
    matchers: { state: { '!=': 'Armed' } },
    severity: (value, { severity }) => is(value, severity === 'Critical'),
    summary: (place) => `Leak at ${place}`,
  },
  {
    ...{ alert: 'LeakDetected', metric: 'cray_leak_detector_state' },
    matchers: { state: { '!=': 'OK' } },
    severity: (value, { state }) => is(value, state === 'Critical'),
    summary: (place) => `Leak at ${place}`,
  },
  {
    ...{ alert: 'CoolantSupplyHot', metric: 'cray_sensor_temperature_celsius' },
    matchers: { context: 'LiquidInlet' },
    severity: above('site:coolant_supply_celsius'),
    summary: (place, value) => `Coolant enters ${place} at ${value.toFixed(1)} °C`,
  },
  {
    ...{ alert: 'CoolantReturnHot', metric: 'cray_sensor_temperature_celsius' },
    matchers: { context: 'LiquidOutlet' },
    severity: above('site:coolant_return_celsius'),
    summary: (place, value) => `Coolant leaves ${place} at ${value.toFixed(1)} °C`,
  },
  {
    ...{ alert: 'IntakeHot', metric: 'cray_pdu_temperature_celsius' },
    matchers: { probe: { '=~': '[A-Z]*1|Metrics' } },
    severity: above('site:intake_celsius'),
    summary: (place, value) => `${value.toFixed(1)} °C at the intake of ${place}`,
  },
  {
    ...{ alert: 'HumidityHigh', metric: 'cray_pdu_humidity_ratio', matchers: {} },
    severity: above('site:humidity_ratio'),
    summary: air,
  },
  {
    ...{ alert: 'HumidityLow', metric: 'cray_pdu_humidity_ratio', matchers: {} },
    severity: (value, _, limits) => is(under(value, 'site:humidity_ratio:low', limits), false),
    summary: air,
  },
  {
    ...{ alert: 'BreakerNearLimit', metric: 'cray_pdu_branch_current_amperes', matchers: {} },
    severity: above('site:branch_current_amperes'),
    summary: (place, value) => `A branch of PDU ${place} carries ${value.toFixed(1)} A`,
  },
  {
    ...{ alert: 'SupplyLost', metric: 'cray_power_supply_input_volts', matchers: {} },
    severity: (value, _, limits) => is(under(value, 'site:supply_input_volts:min', limits), true),
    summary: (place, value) => `A supply of ${place} has ${value.toFixed(0)} V at its input`,
  },
  {
    ...{ alert: 'DeviceSilent', metric: 'cray_device_up', matchers: {} },
    severity: (value) => is(1 - value, false),
    summary: (place) => `Device ${place} is silent`,
  },
]

function is(value: number, critical: boolean): string | undefined {
  if (value !== 1) return undefined
  return critical ? 'critical' : 'warning'
}

function above(limit: string): Check['severity'] {
  return (value, _, limits) =>
    ['critical', 'warning'].find(
      (severity) => value > (limits.get(`${limit}:${severity}`) ?? Number.POSITIVE_INFINITY),
    )
}

function under(value: number, limit: string, limits: Limits): number {
  return value < (limits.get(limit) ?? Number.NEGATIVE_INFINITY) ? 1 : 0
}

function air(place: string, value: number): string {
  return `Air of ${(value * 100).toFixed(0)} % relative humidity at ${place}`
}

/** Names of the alerts that `checkNewest` knows. */
export const checkedAlerts = [...new Set(checks.map(({ alert }) => alert))]

interface Row {
  check: number
  labels: Labels
  value: number
}

/**
 * What those of the alerts say that need no more than samples of the last five minutes: each place
 * once, at its worst. None of them waits, as a Prometheus would have it, for some minutes.
 */
export async function checkNewest(pool: Pool, limits: Limits): Promise<Alert[]> {
  const { rows } = await pool.query<Row>(
    `select c.ordinality::int4 - 1 as "check", l.labels, l.value
     from unnest($1::text[], $2::jsonb[]) with ordinality as c (metric, matchers, ordinality)
     cross join lateral latest(c.metric, c.matchers) l`,
    [checks.map(({ metric }) => metric), checks.map(({ matchers }) => JSON.stringify(matchers))],
  )
  const worst = new Map<string, Alert>()
  for (const row of rows) {
    const found = judge(row, limits)
    if (found === undefined) continue
    const key = `${found.alert} ${found.place}`
    if (worst.get(key)?.severity !== 'critical') worst.set(key, found)
  }
  return [...worst.values()]
}

function judge({ check, labels, value }: Row, limits: Limits): Alert | undefined {
  const of = checks[check]
  const severity = of?.severity(value, labels, limits)
  if (of === undefined || severity === undefined) return undefined
  const place = labels['xname'] ?? null
  const summary = of.summary(place ?? 'an unknown place', value)
  return { alert: of.alert, severity, place, since: null, summary, description: '', runbook: true }
}
