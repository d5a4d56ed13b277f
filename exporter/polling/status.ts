import type { Reading } from '../metrics.ts'
import { LoginRefused } from '../redfish/account.ts'
import type { ConnectionState } from '../redfish/client.ts'
import type { Get } from '../redfish/collection.ts'
import { RedfishError, type RedfishErrorKind, redfishErrorKinds } from '../redfish/error.ts'

import { type Round, rounds } from './pace.ts'

/** What became of the requests to one device since the start. */
export interface Tally {
  requests: number
  errors: Record<RedfishErrorKind, number>
}

export function newTally(): Tally {
  const errors = { unreachable: 0, timeout: 0, unauthorized: 0, unsupported: 0, malformed: 0 }
  return { requests: 0, errors }
}

/** `get`, with each request counted; one that was never sent for want of a login only failed. */
export function counting(get: Get, tally: Tally): Get {
  return async (path) => {
    try {
      const body = await get(path)
      tally.requests++
      return body
    } catch (error) {
      const unsent = error instanceof RedfishError && error.cause instanceof LoginRefused
      if (!unsent) tally.requests++
      if (error instanceof RedfishError) tally.errors[error.kind]++
      throw error
    }
  }
}

/** How a device's last poll went. */
export interface Status {
  up: boolean
  durationSeconds: number
  requests: number
  answeredAt: Date | undefined
}

export interface PollingState {
  /** Absent before the first poll. */
  status: Status | undefined
  /** Requests of the last round of each kind. */
  requests: Partial<Record<Round, number | undefined>>
  /** Readings shown; undefined where not all of them are. */
  shown: number | undefined
  held: boolean
  backOffUntil: Date | undefined
}

/** The metrics of the polling itself. */
export function statusReadings(xname: string, tally: Tally, state: PollingState): Reading[] {
  const labels = { xname, bmc: xname }
  const { status, requests, shown, held, backOffUntil } = state
  const found: Reading[] = []
  const add = (metric: Reading['metric'], value: number | undefined, more: object = {}) => {
    if (value !== undefined) found.push({ metric, labels: { ...labels, ...more }, value })
  }
  add('cray_device_up', status && Number(status.up))
  add('cray_device_scrape_duration_seconds', status?.durationSeconds)
  add('cray_device_last_success_timestamp_seconds', secondsOf(status?.answeredAt))
  add('cray_device_held', Number(held))
  add('cray_device_backoff_until_timestamp_seconds', secondsOf(backOffUntil))
  add('cray_device_requests_total', tally.requests)
  for (const kind of redfishErrorKinds) {
    add('cray_device_errors_total', tally.errors[kind], { reason: kind })
  }
  for (const round of rounds) add('cray_device_round_requests', requests[round], { round })
  const asked = (requests.fast ?? 0) + (requests.state ?? 0) + (requests.slow ?? 0)
  add('cray_device_requests_per_reading', shown ? asked / shown : undefined)
  return found
}

function secondsOf(time: Date | undefined): number | undefined {
  return time && time.getTime() / 1000
}

/** The metrics of the way to a device: its certificate and the login. */
export function connectionReadings(xname: string, state: ConnectionState): Reading[] {
  const { certificateExpiresAt, loginRefused, loginPausedUntil, sessions } = state
  const values: [metric: Reading['metric'], value: number | undefined][] = [
    ['cray_device_certificate_expiry_timestamp_seconds', secondsOf(certificateExpiresAt)],
    ['cray_device_login_refused', loginRefused === undefined ? undefined : Number(loginRefused)],
    ['cray_device_login_pause_until_timestamp_seconds', secondsOf(loginPausedUntil)],
    ['cray_device_sessions_total', sessions],
  ]
  const labels = { xname, bmc: xname }
  return values.flatMap(([metric, value]) => (value === undefined ? [] : { metric, labels, value }))
}
