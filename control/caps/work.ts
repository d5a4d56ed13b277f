import { setTimeout as sleep } from 'node:timers/promises'
import type { Pool } from 'pg'
import { RedfishError } from '../../exporter/redfish/error.ts'
import { errorText } from '../../exporter/service/log.ts'
import type { Hold } from '../claim-loop.ts'
import type { WorkMetrics } from '../metrics.ts'
import { observeFailure } from '../observe.ts'
import type { ControlSettings } from '../settings.ts'
import type { CapDevices } from './devices.ts'
import {
  limitFaults,
  limitsText,
  limitWrites,
  type PowerLimit,
  shownLimits,
  unmetLimits,
  type WantedLimits,
} from './limit.ts'
import { type ClaimedCap, type EndedCap, recordSent } from './store.ts'

export interface CapWork {
  pool: Pool
  devices: CapDevices
  metrics: Pick<WorkMetrics, 'deviceErrors'>
  now: () => Date
  settings: Pick<ControlSettings, 'capSettleSeconds' | 'confirmSeconds'>
  /** Runs `command` when no other command to the node's controller runs in this process. */
  alone<T>(xname: string, command: () => Promise<T>): Promise<T>
}

/** A claimed component while this process works on it. */
export interface CapAssignment extends CapWork, Hold {
  claimed: ClaimedCap
}

/** How often a device is asked that gives no answer, or is busy. */
const maxTries = 5
const maxBackOffSeconds = 10

/**
 * Brings a component to its end: reads its limits and, for a patch, checks, sets and reads them
 * again. Where a process died before, the fresh reading tells what is still to be done. Undefined
 * when the component is to be left: it is another's by now, or was interrupted.
 */
export async function workOnCap(assignment: CapAssignment): Promise<EndedCap | undefined> {
  const { claimed, now, interrupt } = assignment
  if (now() >= claimed.expiresAt) return { state: 'failed', error: 'the task has expired' }
  try {
    const limits = await read(assignment)
    if (limits === undefined) return { state: 'failed', error: 'Xname not found in HSM' }
    if (limits.length === 0) return { state: 'unsupported', error: 'Missing Power Cap URI' }
    const { wanted } = claimed
    if (wanted === undefined) return { state: 'succeeded', shown: shownLimits(limits) }
    return await set({ ...assignment, wanted, before: limits })
  } catch (error) {
    if (interrupt.aborted) return undefined
    if (error instanceof RedfishError) return { state: 'failed', error: errorText(error) }
    throw error
  }
}

interface Change extends CapAssignment {
  wanted: WantedLimits
  before: readonly PowerLimit[]
}

async function set(change: Change): Promise<EndedCap | undefined> {
  const { wanted, before } = change
  let limits = before
  const end = (error: string | undefined): EndedCap => ({
    state: error === undefined ? 'succeeded' : 'failed',
    error,
    shown: shownLimits(limits),
    before: limitsText(before),
    after: limitsText(limits),
  })
  for (let tries = 1; ; tries++) {
    const faults = limitFaults(limits, wanted)
    if (faults.length > 0) return end(faults.join('; '))
    const outcome = await write(change, limits)
    if (outcome === 'left') return undefined
    if (outcome?.kind === 'refused') return end(outcome.reason)
    const isTaken = outcome === undefined
    limits = await readBack(change, isTaken ? change.settings.capSettleSeconds : 0)
    const unmet = unmetLimits(limits, wanted)
    if (unmet.length === 0) return end(undefined)
    if (isTaken) return end(unmet.join('; '))
    if (tries >= maxTries) return end(outcome.reason)
    await pause(change, backOff(change, tries, outcome.retryAfterSeconds))
    limits = (await read(change)) ?? limits
  }
}

interface NotTaken {
  kind: 'refused' | 'again'
  reason: string
  retryAfterSeconds: number
}

/** Undefined: the device took it all, or there was nothing to tell it. */
async function write(
  change: Change,
  limits: readonly PowerLimit[],
): Promise<NotTaken | 'left' | undefined> {
  const { claimed, wanted, pool, lease, now, devices, metrics, alone, interrupt, hurry } = change
  return await alone(claimed.xname, async () => {
    for (const each of limitWrites(limits, wanted)) {
      const sent = `${each.method} ${each.path} ${JSON.stringify(each.body)}`
      const note = { claimed, at: now(), sent, before: limitsText(limits) }
      if (interrupt.aborted || !(await recordSent(pool, lease, note))) return 'left'
      try {
        await devices.writeLimits(claimed.xname, each, hurry)
      } catch (error) {
        if (!(error instanceof RedfishError)) throw error
        metrics.deviceErrors.inc({ reason: error.kind })
        return notTaken(error)
      }
    }
    return undefined
  })
}

function notTaken(error: RedfishError): NotTaken {
  const seen = observeFailure(error)
  const reason = 'reason' in seen ? seen.reason : errorText(error)
  const kind = seen.kind === 'refused' ? 'refused' : 'again'
  const retryAfterSeconds = seen.kind === 'busy' ? seen.retryAfterSeconds : 0
  return { kind, reason, retryAfterSeconds }
}

/** Reads until all is as wanted, or `seconds` have passed; what was read last. */
async function readBack(change: Change, seconds: number) {
  const until = performance.now() + seconds * 1000
  for (;;) {
    const limits = (await read(change)) ?? []
    const isMet = unmetLimits(limits, change.wanted).length === 0
    if (isMet || performance.now() >= until) return limits
    await pause(change, change.settings.confirmSeconds)
  }
}

/** A device that gives no answer is asked again some times, with growing pauses. */
async function read(assignment: CapAssignment): Promise<PowerLimit[] | undefined> {
  const { claimed, devices, metrics, interrupt } = assignment
  for (let tries = 1; ; tries++) {
    try {
      return await devices.readLimits(claimed.xname, interrupt)
    } catch (error) {
      if (!(error instanceof RedfishError) || interrupt.aborted) throw error
      metrics.deviceErrors.inc({ reason: error.kind })
      const passes = error.kind === 'unreachable' || error.kind === 'timeout'
      if (!passes || tries >= maxTries) throw error
      await pause(assignment, backOff(assignment, tries, error.refusal?.retryAfterSeconds ?? 0))
    }
  }
}

/** With some chance in it, so that many who were sent away together do not come back together. */
function backOff({ settings }: CapWork, tries: number, atLeast: number): number {
  const grown = Math.min(settings.confirmSeconds * 2 ** tries, maxBackOffSeconds)
  return Math.max(grown * (0.5 + Math.random() / 2), Math.min(atLeast, 60))
}

async function pause({ interrupt }: Hold, seconds: number): Promise<void> {
  await sleep(seconds * 1000, undefined, { signal: interrupt })
}
