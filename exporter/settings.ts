import { z } from 'zod'
import { deviceFileSettings } from './inventory/file.ts'
import { hsmSettings } from './inventory/hsm.ts'
import { shardSetting } from './inventory/shard.ts'
import { credentialSettings, type Device, xname } from './inventory/static.ts'
import { parseXname } from './inventory/xname.ts'
import { pollSettings } from './polling/pace.ts'
import type { LogSettings } from './service/log.ts'
import { listenAddress, seconds, secret } from './service/settings.ts'
import { pushSettings } from './telemetry/push.ts'

/** The section `exporter` of the settings file, with its defaults. */
export const exporterSection = z
  .strictObject({
    web: z.strictObject({ listenAddress: listenAddress.default('127.0.0.1:28010') }).prefault({}),
    /** When and how gently the devices are asked. */
    poll: pollSettings,
    /** The bearer token of the calls hold and poll; without it both are refused. */
    token: secret.optional(),
    /** How often the settings file is looked at for changes; SIGHUP has it read at once. */
    reloadSeconds: seconds.default(5),
    /** Where the devices that HSM named last are kept for the next start; absent: nowhere. */
    stateDirectory: z.string().optional(),
    /** The counters of the node that this runs on, in band; off unless its xname is given. */
    pmCounters: z
      .strictObject({
        directory: z.string().default('/sys/cray/pm_counters'),
        xname: xname.refine(isNode, 'expected the xname of a node such as x1000c0s0b0n0'),
      })
      .optional(),
    /** Devices besides those of `devices`; they may come and go while this runs. */
    discovery: z
      .strictObject({ file: deviceFileSettings.optional(), hsm: hsmSettings.optional() })
      .prefault({}),
    /** `2/4`: poll the second of four parts of all devices. */
    shard: shardSetting.optional(),
    /** Telemetry that devices push; off unless they are told where to. */
    push: pushSettings,
    credentials: z.array(credentialSettings).default([]),
    /** Remote write without a Prometheus; off unless a URL is given. */
    forward: z
      .strictObject({
        url: z.url().optional(),
        intervalSeconds: seconds.default(10),
        /** Compressed samples that wait while the receiver is away; then the oldest are dropped. */
        queueMegabytes: z.number().positive().default(64),
        /** The target labels that Prometheus would add. */
        job: z.string().default('joulebridge'),
        instance: z.string().default('exporter'),
      })
      .prefault({}),
  })
  .prefault({})

/** All that the exporter is told: its section and what it shares with the other services. */
export interface ExporterSettings extends z.output<typeof exporterSection> {
  log: LogSettings
  devices: Device[]
}

function isNode(text: string): boolean {
  return parseXname(text).type === 'Node'
}
