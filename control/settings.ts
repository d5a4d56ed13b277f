import { z } from 'zod'
import { credentialSettings, type Device } from '../exporter/inventory/static.ts'
import type { LogSettings } from '../exporter/service/log.ts'
import { listenAddress, seconds } from '../exporter/service/settings.ts'
import type { PostgresSettings } from '../remote-write/postgres/pool.ts'
import { apiSettings } from './api-settings.ts'
import { transitionSettings } from './transition-settings.ts'

/** The section `control` of the settings file, with its defaults. */
export const controlSection = z
  .strictObject({
    /** 28007 is the port of HPE's Power Control Service. */
    web: z.strictObject({ listenAddress: listenAddress.default('127.0.0.1:28007') }).prefault({}),
    credentials: z.array(credentialSettings).default([]),
    /** Deadline of one request to a device. */
    timeoutSeconds: seconds.default(20),
    /** Deadline of one read for a power status, at which the state is `undefined`. */
    statusSeconds: seconds.default(5),
    /** Pause between two looks at a device that has not reached its state. */
    confirmSeconds: seconds.default(1),
    /** Pause between two looks for work that another process has accepted or left. */
    claimSeconds: seconds.default(1),
    /** Time after which the work of a process that died is taken over. */
    leaseSeconds: seconds.default(30),
    /** Requests to devices in flight. */
    inFlight: z.int().min(1).default(64),
    /** Tasks that one process works on at once, most of them waiting for their device. */
    openTasks: z.int().min(1).default(5000),
    /** Components in one request. */
    targetsPerRequest: z.int().min(1).default(10_000),
    /** How long the record of a transition is kept; PCS's default is a day. */
    retentionHours: z.number().min(0.1).max(8784).default(24),
    ...apiSettings,
    ...transitionSettings,
  })
  .prefault({})

export interface ControlSettings extends z.output<typeof controlSection> {
  log: LogSettings
  devices: Device[]
  postgres: PostgresSettings
}
