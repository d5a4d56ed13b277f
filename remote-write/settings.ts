import { z } from 'zod'
import type { LogSettings } from '../exporter/service/log.ts'
import { listenAddress, seconds } from '../exporter/service/settings.ts'
import type { PostgresSettings } from './postgres/pool.ts'

const MiB = 1024 * 1024

/** The section `remote_write` of the settings file, with its defaults. */
export const remoteWriteSection = z
  .strictObject({
    web: z.strictObject({ listenAddress: listenAddress.default('127.0.0.1:28011') }).prefault({}),
    limits: z
      .strictObject({
        bodyBytes: z
          .int()
          .min(1)
          .default(8 * MiB),
        decodedBytes: z
          .int()
          .min(1)
          .default(64 * MiB),
        /** Samples waiting for a commit before new requests get 503. */
        openSamples: z.int().min(1).default(500_000),
        labelsPerSeries: z.int().min(1).default(64),
        /** The longest label name or value. */
        labelBytes: z.int().min(1).default(4096),
        series: z.int().min(64).default(1_000_000),
        /** Samples in one remote read; the answer takes some 20 bytes each in memory. */
        readSamples: z.int().min(1).default(10_000_000),
        /** How far a sample's time may lie ahead of ours, and behind. */
        futureSeconds: seconds.default(600),
        pastSeconds: seconds.default(31 * 86_400),
      })
      .prefault({}),
    /** The labels whose values name a target: series of one target share frames. */
    targetLabels: z.array(z.string()).min(1).default(['job', 'instance']),
    /** YAML or JSON list of {node, xname, cores}: which name of Slurm's is which place. */
    topologyFile: z.string().optional(),
    energy: z
      .strictObject({
        /**
         * A longer gap between samples lowers the coverage; power adds nothing within it, an
         * energy counter all that it rose.
         */
        maxGapSeconds: seconds.default(300),
      })
      .prefault({}),
  })
  .prefault({})

export interface RemoteWriteSettings extends z.output<typeof remoteWriteSection> {
  log: LogSettings
  postgres: PostgresSettings
}
