import { z } from 'zod'
import { deviceFileSettings } from './inventory/file.ts'
import { hsmSettings } from './inventory/hsm.ts'
import { shardSetting } from './inventory/shard.ts'
import { credentialSettings, type Device, xname } from './inventory/static.ts'
import { parseXname } from './inventory/xname.ts'
import type { LogSettings } from './service/log.ts'
import { listenAddress, seconds } from './service/settings.ts'
import { pushSettings } from './telemetry/push.ts'

/** The section `exporter` of the settings file, with its defaults. */
export const exporterSection = z
  .strictObject({
    web: z.strictObject({ listenAddress: listenAddress.default('127.0.0.1:28010') }).prefault({}),
    poll: z
      .strictObject({
        /** Pace of power and energy. */
        fastSeconds: seconds.default(10),
        /** Pace of temperatures, voltages and the like. */
        slowSeconds: seconds.default(60),
        /** Deadline of one request to a device. */
        timeoutSeconds: seconds.default(10),
        /** Pause between requests to a PDU that falls over under bursts (HPE). */
        gapSeconds: seconds.default(1),
        /** Requests in flight: to one device, and in all. */
        perDevice: z.int().min(1).default(2),
        inFlight: z.int().min(1).default(64),
      })
      .prefault({}),
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
