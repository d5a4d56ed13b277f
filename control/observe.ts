import type { RedfishError } from '../exporter/redfish/error.ts'
import { refusalText } from '../exporter/redfish/refusal.ts'
import { errorText } from '../exporter/service/log.ts'
import type { System } from './system.ts'
import type { Observation } from './transition.ts'

/** What a read tells the state machine; undefined: the device has no such component. */
export function observeSystem(system: System | undefined): Observation {
  if (system === undefined) return { kind: 'missing' }
  const { powerState, reset, lastRestart } = system
  return { kind: 'system', powerState, resetTypes: reset?.allowed ?? [], lastRestart }
}

/** A read that failed. A refused login is not asked again: it could lock the account. */
export function observeSilence(error: RedfishError): Observation {
  return { kind: 'silent', reason: errorText(error), lasting: error.kind === 'unauthorized' }
}

/**
 * What became of a reset that did not succeed. Only an answer that rules the reset out is a
 * refusal: after 500, a gateway's 502 or 504, or no answer, it may have been carried out.
 */
export function observeFailure(error: RedfishError): Observation {
  const { refusal } = error
  if (refusal === undefined) {
    const kind = error.kind === 'unauthorized' ? 'refused' : 'unknown'
    return { kind, reason: errorText(error) }
  }
  const reason = refusalText(refusal)
  if (busyStatuses.has(refusal.status)) {
    return { kind: 'busy', reason, retryAfterSeconds: refusal.retryAfterSeconds }
  }
  if (refusal.status === 408 || refusal.status >= 500) {
    return { kind: refusal.status === 501 ? 'refused' : 'unknown', reason }
  }
  return { kind: 'refused', reason }
}

const busyStatuses: ReadonlySet<number> = new Set([409, 425, 429, 503])

/** An observation in one line, as it is kept with its step. */
export function describe(observation: Observation): string {
  switch (observation.kind) {
    case 'system': {
      const allowed = observation.resetTypes.join(', ') || 'none'
      return `PowerState ${observation.powerState ?? 'absent'}; ResetTypes ${allowed}`
    }
    case 'missing':
      return 'no such component'
    case 'blocked':
      return `${observation.by} has ended`
    case 'accepted':
      return 'accepted'
    case 'abort':
      return 'abort'
    case 'silent':
    case 'refused':
    case 'busy':
    case 'unknown':
      return observation.reason
  }
}
