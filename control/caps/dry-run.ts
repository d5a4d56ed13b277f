import pLimit from 'p-limit'
import { RedfishError } from '../../exporter/redfish/error.ts'
import { errorText } from '../../exporter/service/log.ts'
import type { PlanEntry } from '../openapi/schema.ts'
import type { CapRequest } from '../request.ts'
import type { ControlSettings } from '../settings.ts'
import type { CapDevices } from './devices.ts'
import { limitFaults, limitsText, limitWrites } from './limit.ts'
import type { PlannedCap } from './request.ts'

interface DryRun {
  devices: CapDevices
  settings: Pick<ControlSettings, 'inFlight' | 'statusSeconds'>
}

/** What a request for power limits would send, by a fresh reading of each device. */
export async function dryRunCaps(
  { type }: CapRequest,
  components: readonly PlannedCap[],
  context: DryRun,
): Promise<object> {
  const limit = pLimit(context.settings.inFlight)
  const entries = components.map((each) => limit(async () => await planOne(each, context)))
  return { dryRun: true, operation: type, plan: (await Promise.all(entries)).flat() }
}

async function planOne(
  { xname, state, error = '', wanted }: PlannedCap,
  { devices, settings }: DryRun,
): Promise<PlanEntry[]> {
  if (state !== 'new') return [{ xname, action: 'blocked', reason: error }]
  const signal = AbortSignal.timeout(settings.statusSeconds * 1000)
  try {
    const limits = await devices.readLimits(xname, signal)
    if (limits === undefined) return [{ xname, action: 'blocked', reason: 'no such node' }]
    const [fault] = limitFaults(limits, wanted ?? {})
    if (fault !== undefined) return [{ xname, action: 'blocked', reason: fault }]
    const reason = limitsText(limits) || 'no power limits'
    const writes = limitWrites(limits, wanted ?? {})
    if (writes.length === 0) return [{ xname, action: 'skip', reason }]
    return writes.map(({ method, path, body }) => {
      return { xname, action: 'send', reason, method, url: path, body }
    })
  } catch (cause) {
    if (!(cause instanceof RedfishError)) throw cause
    return [{ xname, action: 'blocked', reason: errorText(cause) }]
  }
}
