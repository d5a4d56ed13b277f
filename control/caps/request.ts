import { isXname, parseXname } from '../../exporter/inventory/xname.ts'
import type { CapRequest } from '../request.ts'
import type { WantedLimits } from './limit.ts'

/** A component as it is first stored: to be done, or ended at once since it cannot be. */
export interface PlannedCap {
  xname: string
  device: string | undefined
  /** Undefined for a snapshot. */
  wanted: WantedLimits | undefined
  state: 'new' | 'failed' | 'unsupported'
  error: string | undefined
}

interface CapContext {
  /** The controller of a component; undefined: none is configured. */
  controllerOf(xname: string): string | undefined
  /** Why the component is not to be touched; undefined: it may be. */
  protectionOf(xname: string): string | undefined
}

/** The components of a request, with PCS's words for what cannot be done. */
export function planCaps(
  { type, components }: CapRequest,
  { controllerOf, protectionOf }: CapContext,
): PlannedCap[] {
  return components.map(({ xname, wanted }) => {
    const refuse = (state: 'failed' | 'unsupported', error: string): PlannedCap => {
      return { xname, device: undefined, wanted, state, error }
    }
    if (!isXname(xname)) return refuse('failed', 'Invalid xname')
    const { type: xnameType } = parseXname(xname)
    if (xnameType !== 'Node') {
      const [control = ''] = Object.keys(wanted ?? {})
      return type === 'patch'
        ? refuse('unsupported', `Skipping undefined control '${control}'`)
        : refuse('unsupported', `Type, ${xnameType} unsupported for power capping`)
    }
    const device = controllerOf(xname)
    if (device === undefined) return refuse('failed', 'Xname not found in HSM')
    const protection = type === 'patch' ? protectionOf(xname) : undefined
    if (protection !== undefined) return refuse('failed', protection)
    return { xname, device, wanted, state: 'new', error: undefined }
  })
}
