import { validate } from 'node-cron'
import { z } from 'zod'
import type { LogSettings } from '../exporter/service/log.ts'
import { listenAddress, seconds, secret } from '../exporter/service/settings.ts'
import { systemParameterSettings } from './capmc/system-parameters.ts'
import { topologyHsmSettings } from './jobs/hsm.ts'
import { alertSettings } from './overview/alert-route.ts'
import type { PostgresSettings } from './postgres/pool.ts'
import { compileRegex } from './protocol/regex.ts'

const MiB = 1024 * 1024
const day = 86_400

function labelNames(names: string[]) {
  return z.array(z.string().min(1)).default(names)
}

/** Samples and roll-ups go by whole partitions of a day and more. */
const keptSeconds = seconds.min(day, 'expected at least 86400 seconds, a day')

/** What to keep, and how long. */
const retentionSection = z
  .strictObject({
    samplesSeconds: keptSeconds.default(31 * day),
    rollupSeconds: keptSeconds.default(5 * 365 * day),
    /** Of series with the label of a job, which end with it: by default as long as samples. */
    jobRollupSeconds: keptSeconds.optional(),
    /** Other times for metrics whose whole name matches; the first that matches counts. */
    metrics: z
      .array(
        z.strictObject({
          match: z.string().refine(isRegExp, 'expected a regular expression'),
          samplesSeconds: keptSeconds,
          rollupSeconds: keptSeconds.optional(),
        }),
      )
      .default([]),
  })
  .prefault({})

function isRegExp(text: string): boolean {
  try {
    compileRegex(text)
    return true
  } catch {
    return false
  }
}

export type RetentionSettings = z.output<typeof retentionSection>

/** The section `remote_write` of the settings file, with its defaults. */
export const remoteWriteSection = z
  .strictObject({
    web: z.strictObject({ listenAddress: listenAddress.default('127.0.0.1:28011') }).prefault({}),
    /** The bearer token of whoever tells of jobs; without it only this machine may. */
    token: secret.optional(),
    /** What the built-in page shows beside the record. */
    page: z
      .strictObject({
        /** Where a browser finds power control. */
        controlUrl: z.url({ protocol: /^https?$/ }).optional(),
        /** What a job costs; whoever looks may put others in their place. */
        pricePerKwh: z.number().min(0).optional(),
        currency: z.string().max(10).optional(),
        co2GramsPerKwh: z.number().min(0).optional(),
      })
      .prefault({}),
    alerts: alertSettings,
    /** Exporters that read the nodes of a job at its start and end; each has its own devices. */
    exporters: z
      .array(
        z.strictObject({
          url: z.url({ protocol: /^https?$/ }).transform((url) => url.replace(/\/+$/, '')),
          token: secret,
        }),
      )
      .default([]),
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
        /** Series in one request; 413 above. */
        requestSeries: z.int().min(1).default(100_000),
        labelsPerSeries: z.int().min(1).default(64),
        /** The longest label name or value. */
        labelBytes: z.int().min(1).default(4096),
        /** Series in memory: those with samples in the last hours. */
        series: z.int().min(64).default(1_000_000),
        /** Samples in one remote read; the type SAMPLES takes some 40 bytes each in memory. */
        readSamples: z.int().min(1).default(10_000_000),
        /** Until the last byte of its answer is out. */
        readSeconds: seconds.default(60),
        /** Remote reads at once; others wait. Each has a connection of its own. */
        readsAtOnce: z.int().min(1).default(4),
        /** How far a sample's time may lie ahead of ours, and behind. */
        futureSeconds: seconds.default(600),
        /** By default as long as samples are kept, at most 31 days. */
        pastSeconds: seconds.optional(),
      })
      .prefault({}),
    /** The labels whose values name a target: series of one target share frames. */
    targetLabels: z.array(z.string()).min(1).default(['job', 'instance']),
    /** YAML or JSON list of {node, xname, cores}: which name of Slurm's is which place. */
    topologyFile: z.string().optional(),
    /** HPE's Hardware State Manager, which knows the same; it wins over the file. */
    topologyHsm: topologyHsmSettings.optional(),
    /** Which labels of series tell of jobs; of several names the first that a series has counts. */
    jobLabels: z
      .strictObject({
        /** Without a name no job is taken from labels. */
        jobId: labelNames(['jobid', 'slurm_job_id', 'slurm_jobid']),
        /** Its value must be the scheduler's own name of the cluster. */
        cluster: labelNames(['slurm_cluster', 'cluster']),
        node: labelNames(['xname', 'node', 'hostname', 'nodelist']),
        step: labelNames(['step', 'stepid', 'slurm_step_id']),
        user: labelNames(['user', 'slurm_user']),
        account: labelNames(['account', 'slurm_account']),
        partition: labelNames(['partition', 'slurm_partition']),
        /** A job without a sample for so long has ended; one that comes later is another run. */
        silenceSeconds: seconds.min(60).default(300),
      })
      .prefault({}),
    /** Closed windows of 4 h become segments. */
    compaction: z
      .strictObject({
        /** After the end of a window, so that few samples come late. */
        delaySeconds: seconds.min(600).default(7200),
        schedule: z
          .string()
          .refine((text) => validate(text), 'expected a cron expression')
          .default('*/10 * * * *'),
      })
      .prefault({}),
    retention: retentionSection,
    energy: z
      .strictObject({
        /**
         * A longer gap between samples lowers the coverage; power adds nothing within it, an
         * energy counter all that it rose.
         */
        maxGapSeconds: seconds.default(300),
        /** What the site's cooling takes, of what cabinets draw at their inputs: 0.1 is a tenth. */
        coolingRatio: z.number().min(0).max(10).optional(),
      })
      .prefault({}),
    capmc: systemParameterSettings,
  })
  .transform((section, context) => {
    const kept = section.retention.samplesSeconds
    const pastSeconds = section.limits.pastSeconds ?? Math.min(31 * day, kept)
    if (pastSeconds > kept) {
      context.addIssue({
        code: 'custom',
        path: ['limits', 'pastSeconds'],
        message: `${pastSeconds} is more than retention.samples_seconds, ${kept}`,
      })
    }
    return { ...section, limits: { ...section.limits, pastSeconds } }
  })
  .prefault({})

export interface RemoteWriteSettings extends z.output<typeof remoteWriteSection> {
  log: LogSettings
  postgres: PostgresSettings
}
