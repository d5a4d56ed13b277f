import { z } from 'zod'
import type { LogSettings } from '../service/log.ts'
import { listenAddress, seconds, secret } from '../service/settings.ts'

/** The section `simulator` of the settings file, with its defaults. */
export const simulatorSection = z
  .strictObject({
    /** The simulator's own page: ground truth of jobs. */
    web: z.strictObject({ listenAddress: listenAddress.default('127.0.0.1:28099') }).prefault({}),
    /** The devices listen on this port of loopback and those after it; 0: any free ones. */
    devicePort: z.int().min(0).max(65000).default(28100),
    seed: z.int().default(1),
    jobsPerHour: z.number().min(1).max(3600).default(40),
    /** How often controllers push telemetry to those who subscribe. */
    pushSeconds: seconds.default(5),
    username: z.string().default('root'),
    password: secret.default({ env: 'JOULEBRIDGE_SIMULATOR_PASSWORD' }),
    /** Certificate and state (seed, epoch, power actions) are kept here. */
    directory: z.string().default('.'),
    /** How much of the past to send to the receiver at start; 0: none. */
    historyHours: z.number().min(0).max(168).default(24),
    /** Base URL of remote-write: where history and job events go; absent: nowhere. */
    remoteWriteUrl: z.url().optional(),
    /** The target labels of the history, those that the exporter's samples will have. */
    job: z.string().default('joulebridge'),
    instance: z.string().default('exporter'),
  })
  .prefault({})

export interface SimulatorSettings extends z.output<typeof simulatorSection> {
  log: LogSettings
}
