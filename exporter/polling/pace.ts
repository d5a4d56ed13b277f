import { createHash } from 'node:crypto'
import { validate } from 'node-cron'
import { z } from 'zod'
import { type DeviceKind, deviceKinds } from '../inventory/static.ts'
import { seconds } from '../service/settings.ts'

/** What a device is asked for, the more urgent first; each at a pace of its own. */
export const rounds = ['fast', 'state', 'structure', 'slow'] as const
export type Round = (typeof rounds)[number]

export interface Paces {
  /** Power and energy. */
  fastSeconds: number
  /** Power states, health, limits and alarms. */
  stateSeconds: number
  /** Temperatures, voltages and the like. */
  slowSeconds: number
  /** Which resources there are. */
  structureSeconds: number
}

const kindPace = z.strictObject({
  fastSeconds: seconds.optional(),
  stateSeconds: seconds.optional(),
  slowSeconds: seconds.optional(),
  structureSeconds: seconds.optional(),
})

/** When and how gently devices are asked. */
export const pollSettings = z
  .strictObject({
    fastSeconds: seconds.default(10),
    stateSeconds: seconds.default(60),
    slowSeconds: seconds.default(60),
    structureSeconds: seconds.default(3600),
    /** Paces of single kinds, instead of those above and of what is built in for the kind. */
    kinds: z.partialRecord(z.enum(deviceKinds), kindPace).default({}),
    /** When each device is asked anew what it is; cron, in the time zone of the process. */
    identitySchedule: z
      .string()
      .refine((text) => validate(text), 'expected a cron expression such as 17 3 * * *')
      .default('17 3 * * *'),
    /** Deadline of one request to a device. */
    timeoutSeconds: seconds.default(10),
    /** Pause between requests to a PDU that falls over under bursts (HPE). */
    gapSeconds: seconds.default(1),
    /** Requests in flight: to one device, and in all. */
    perDevice: z.int().min(1).default(2),
    inFlight: z.int().min(1).default(64),
  })
  .prefault({})
export type PollSettings = z.output<typeof pollSettings>

/**
 * Paces that a kind bears, where that is less often than the general ones. A Cray controller of 737
 * sensors takes minutes for all of them; HPE's own collector asks PDUs each 30 s; an HPE PDU takes
 * over a minute for its 55 resources, whose values are up to six minutes old (its manual).
 */
const kindPaces: Partial<Record<DeviceKind, Partial<Paces>>> = {
  'cray-controller': { slowSeconds: 300 },
  jaws: { fastSeconds: 30 },
  rts: { fastSeconds: 30 },
  'rack-pdu': { fastSeconds: 30 },
  'hpe-pdu': { fastSeconds: 300, stateSeconds: 900, slowSeconds: 900, structureSeconds: 86_400 },
}

/** The paces of a kind; of a device whose kind is not known yet, the general ones. */
export function pacesOf(poll: Paces & Pick<PollSettings, 'kinds'>, kind?: DeviceKind): Paces {
  const { fastSeconds, stateSeconds, slowSeconds, structureSeconds } = poll
  const general = { fastSeconds, stateSeconds, slowSeconds, structureSeconds }
  if (kind === undefined) return general
  const stated = poll.kinds[kind]
  if (stated !== undefined) {
    return {
      fastSeconds: stated.fastSeconds ?? fastSeconds,
      stateSeconds: stated.stateSeconds ?? stateSeconds,
      slowSeconds: stated.slowSeconds ?? slowSeconds,
      structureSeconds: stated.structureSeconds ?? structureSeconds,
    }
  }
  const borne = kindPaces[kind] ?? {}
  return {
    fastSeconds: Math.max(fastSeconds, borne.fastSeconds ?? 0),
    stateSeconds: Math.max(stateSeconds, borne.stateSeconds ?? 0),
    slowSeconds: Math.max(slowSeconds, borne.slowSeconds ?? 0),
    structureSeconds: Math.max(structureSeconds, borne.structureSeconds ?? 0),
  }
}

/** How a device fails: polls in a row without any answer, the last for a refused login or not. */
export interface Failures {
  inARow: number
  unauthorized: boolean
}

/**
 * Seconds from one poll to the next: the pace, or after some failures in a row ever longer, up to
 * five minutes. A login that was refused is not tried again soon, lest the account be locked. With
 * `random` in [0, 1) a pause is up to a quarter shorter, so that devices that failed together do
 * not come back together.
 */
export function pauseSeconds(paceSeconds: number, failures: Failures, random: number): number {
  const doublings = failures.inARow - (failures.unauthorized ? 0 : failuresAtPace)
  if (doublings <= 0) return paceSeconds
  const pause = Math.min(paceSeconds * 2 ** doublings, longestPauseSeconds)
  return Math.max(paceSeconds, pause * (1 - random / 4))
}

/** Failures that change nothing yet: a controller that restarts is back soon. */
export const failuresAtPace = 2
const longestPauseSeconds = 300

/**
 * How old a reading may get until it is shown no more: three paces of its round, and the time that
 * the last such round took.
 */
export function limitSeconds(paceSeconds: number, roundSeconds: number): number {
  return 3 * paceSeconds + roundSeconds
}

/**
 * When the next poll is due, in milliseconds like the others: a pause after the last was. A device
 * that is slower than its pace gets a fifth of its time for the other rounds.
 */
export function nextPollAt(
  last: { dueAt: number; startedAt: number; endedAt: number },
  pauseMs: number,
): number {
  const next = last.dueAt + pauseMs
  return next > last.endedAt ? next : last.endedAt + (last.endedAt - last.startedAt) / 4
}

/** Spreads the first polls of many devices over the pace; the same device always starts alike. */
export function startDelaySeconds(xname: string, paceSeconds: number): number {
  const hash = createHash('sha256').update(xname).digest()
  return (hash.readUInt32LE() / 2 ** 32) * paceSeconds
}
