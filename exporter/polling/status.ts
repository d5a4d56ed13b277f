import type { Reading } from '../metrics.ts'
import type { Get } from '../redfish/collection.ts'
import { RedfishError, type RedfishErrorKind, redfishErrorKinds } from '../redfish/error.ts'

/** What became of the requests to one device since the start. */
export interface Tally {
  requests: number
  errors: Record<RedfishErrorKind, number>
}

export function newTally(): Tally {
  const errors = { unreachable: 0, timeout: 0, unauthorized: 0, unsupported: 0, malformed: 0 }
  return { requests: 0, errors }
}

/** `get`, with each request counted. */
export function counting(get: Get, tally: Tally): Get {
  return async (path) => {
    tally.requests++
    try {
      return await get(path)
    } catch (error) {
      if (error instanceof RedfishError) tally.errors[error.kind]++
      throw error
    }
  }
}

/** How a device's last poll went. */
export interface Status {
  up: boolean
  durationSeconds: number
  answeredAt: Date | undefined
}

/** The metrics of the polling itself; nothing but the counts before the first poll. */
export function statusReadings(xname: string, tally: Tally, status?: Status): Reading[] {
  const labels = { xname, bmc: xname }
  const found: Reading[] = []
  const add = (metric: Reading['metric'], value: number | undefined, reason?: string) => {
    if (value === undefined) return
    found.push({ metric, labels: reason === undefined ? labels : { ...labels, reason }, value })
  }
  add('cray_device_up', status && Number(status.up))
  add('cray_device_scrape_duration_seconds', status?.durationSeconds)
  const answeredAt = status?.answeredAt
  add('cray_device_last_success_timestamp_seconds', answeredAt && answeredAt.getTime() / 1000)
  add('cray_device_requests_total', tally.requests)
  for (const kind of redfishErrorKinds) add('cray_device_errors_total', tally.errors[kind], kind)
  return found
}
