import { z } from 'zod'
import { seconds, secret } from '../../../exporter/service/settings.ts'

const day = 86_400

/** The section `slurm` of the settings file: what runs beside slurmctld and slurmdbd. */
export const slurmSection = z
  .strictObject({
    /** Where remote-write answers. */
    url: z
      .url({ protocol: /^https?$/, error: 'expected a URL such as http://127.0.0.1:28011' })
      .transform((url) => url.replace(/\/+$/, ''))
      .default('http://127.0.0.1:28011'),
    /** The bearer token, remote_write.token there. */
    token: secret.optional(),
    /** PEM file of who else may vouch for an https URL; read at each request. */
    caFile: z.string().min(1).optional(),
    /** Where the hook writes, and `slurm ship` reads. */
    spoolDirectory: z.string().min(1).default('/var/spool/joulebridge'),
    /** Folder of sacct, sacctmgr and scontrol; without it they are searched as a shell does. */
    programs: z.string().optional(),
    accelerators: z
      .strictObject({
        /** The generic resource that they are; empty: slurmctld is not asked who has which. */
        gres: z.string().regex(/^\w*$/, 'expected a name of GresTypes').default('gpu'),
        /** How many of them a node measures as one: 2 where each half of a module is a device. */
        perAccelerator: z.int().min(1).max(16).default(1),
      })
      .prefault({}),
    poll: z
      .strictObject({
        /** Where it is kept how far accounting was read. */
        cursorFile: z.string().min(1).default('/var/spool/joulebridge/poll.cursor'),
        everySeconds: seconds.min(1).default(60),
        /** Read again each time, for what slurmctld tells slurmdbd late. */
        overlapSeconds: seconds.default(900),
        /** Read again every hour, for what it tells after an outage. */
        rereadSeconds: seconds.default(2 * day),
        /** How far the first poll goes back. */
        backfillSeconds: seconds.default(7 * day),
        timeoutSeconds: seconds.default(120),
        /**
         * By what runs share what a node draws above its idle floor: cpu_time is fairer where
         * accelerators do little of the work.
         */
        shareBy: z.enum(['cores', 'cpu_time']).default('cores'),
        /** Clusters of one slurmdbd; without them the one of slurm.conf. */
        clusters: z.array(z.string().regex(/^[\w-]+$/, 'expected a name')).default([]),
      })
      .prefault({}),
    writeBack: z
      .strictObject({
        /** What of Slurm's accounting the energy of ended jobs is written to. */
        to: z.enum(['nothing', 'admin_comment', 'tres']).default('nothing'),
        /** After the end of a job, so that its last samples have come. */
        settleSeconds: seconds.default(900),
        /** How far back to look for ended jobs. */
        sinceSeconds: seconds.default(day),
        perMinute: z.int().min(1).max(600).default(30),
        /** Where the values that were replaced are kept. */
        originalsFile: z.string().min(1).default('/var/spool/joulebridge/write-back.originals'),
      })
      .prefault({}),
  })
  .prefault({})
export type SlurmSettings = z.output<typeof slurmSection>
