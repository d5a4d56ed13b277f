import { z } from 'zod'
import { deviceFileSettings } from '../exporter/inventory/file.ts'
import { hsmSettings } from '../exporter/inventory/hsm.ts'
import { secret } from '../exporter/service/settings.ts'

/** Settings of the section `control` for transitions. */
export const transitionSettings = {
  /** Devices besides those of `devices`, as the exporter finds them. */
  discovery: z
    .strictObject({ file: deviceFileSettings.optional(), hsm: hsmSettings.optional() })
    .prefault({}),
  /** Told to leave a device alone while it is switched; each knows its own devices. */
  exporters: z
    .array(
      z.strictObject({
        url: z
          .url({ protocol: /^https?$/, error: 'expected a URL such as http://127.0.0.1:28010' })
          .transform((url) => url.replace(/\/+$/, '')),
        token: secret.optional(),
      }),
    )
    .default([]),
  /** How fast nodes are turned on; without limits, as fast as `inFlight` lets them. */
  ramp: z
    .strictObject({
      nodesPerMinute: z.number().min(1).optional(),
      wattsPerMinute: z.number().positive().optional(),
      /** What a node is counted as of which neither a power limit nor its power is recorded. */
      wattsPerNode: z.number().positive().default(1000),
    })
    .prefault({}),
}

export type RampSettings = z.output<typeof transitionSettings.ramp>
export type ExporterAccess = z.output<typeof transitionSettings.exporters>[number]
