import { createHmac } from 'node:crypto'
import fetch from 'node-fetch'
import type { ExporterSettings } from '../../exporter/settings.ts'
import { login } from './device.ts'
import { freePort } from './port.ts'

export type PushSection = NonNullable<ExporterSettings['push']>

const secret = 'made of tests'

/** Settings of the listener on a free port of loopback, and the environment with its secret. */
export async function pushSetup(overrides: Partial<PushSection> = {}) {
  const listenAddress = `127.0.0.1:${await freePort()}`
  const scheme = overrides.tls ? 'https' : 'http'
  const push: PushSection = {
    listenAddress,
    advertisedUrl: `${scheme}://${listenAddress}`,
    intervalSeconds: 0.5,
    checkSeconds: 0.2,
    stateChanges: false,
    keepSubscriptions: true,
    secret: { env: 'PUSH_SECRET' },
    ...overrides,
  }
  return { push, env: { BMC_PASSWORD: login.password, PUSH_SECRET: secret } }
}

/** Where a device posts to, by the scheme that is written in the README. */
export function destination({ advertisedUrl }: PushSection, xname: string): string {
  return `${advertisedUrl}/${token(xname)}/${xname}`
}

export function token(xname: string, key = secret): string {
  return createHmac('sha256', key).update(xname).digest('base64url').slice(0, 22)
}

/** That of a subscription of ours. */
export function contextOf(xname: string): string {
  return `joulebridge/${xname}/${token(xname)}`
}

export interface PushedSensor {
  Timestamp?: string
  Location?: string
  Value: unknown
  [name: string]: unknown
}

/** One event of that kind of sensor. */
export function telemetry(type: string, sensors: readonly PushedSensor[]): object {
  return {
    EventTimestamp: '2026-01-01T00:00:00Z',
    MessageId: `CrayTelemetry.${type}`,
    Oem: { TelemetrySource: 'nC', Sensors: sensors },
  }
}

/** Posts as a device does; the answer's status. */
export async function post(url: string, body: unknown): Promise<number> {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(url, { method: 'POST', body: text, headers })
  await response.text()
  return response.status
}
