import { z } from 'zod'
import { credentialSettings, type Device } from '../exporter/inventory/static.ts'
import type { LogSettings } from '../exporter/service/log.ts'
import { listenAddress, seconds, secret } from '../exporter/service/settings.ts'
import type { PostgresSettings } from '../remote-write/postgres/pool.ts'

/** The section `control` of the settings file, with its defaults. */
export const controlSection = z
  .strictObject({
    /** 28007 is the port of HPE's Power Control Service. */
    web: z.strictObject({ listenAddress: listenAddress.default('127.0.0.1:28007') }).prefault({}),
    credentials: z.array(credentialSettings).default([]),
    /** The bearer token that every request but health must carry; without it all are refused. */
    token: secret.optional(),
    /** Deadline of one request to a device. */
    timeoutSeconds: seconds.default(20),
    /** Pause between two looks at a device that has not reached its state. */
    confirmSeconds: seconds.default(1),
    /** Devices asked at once. */
    inFlight: z.int().min(1).default(64),
  })
  .prefault({})

export interface ControlSettings extends z.output<typeof controlSection> {
  log: LogSettings
  devices: Device[]
  postgres: PostgresSettings
}
