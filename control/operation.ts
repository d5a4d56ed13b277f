/** The operations of HPE's Power Control Service (PCS), and how a device carries them out. */
export const operations = [
  'On',
  'Off',
  'Soft-Off',
  'Soft-Restart',
  'Hard-Restart',
  'Init',
  'Force-Off',
] as const
export type Operation = (typeof operations)[number]

/** One thing brought about by one reset, by the name that PCS gives it in its texts. */
export const actions = [
  'on',
  'gracefulshutdown',
  'forceoff',
  'gracefulrestart',
  'forcerestart',
] as const
export type Action = (typeof actions)[number]

/** Matches in any case, as PCS does; undefined when there is no such operation. */
export function parseOperation(text: string): Operation | undefined {
  return operations.find((operation) => operation.toLowerCase() === text.toLowerCase())
}

/**
 * The ResetType for an action, in the device's own spelling; undefined if it offers none. Cray EX
 * nodes offer no GracefulShutdown: there `Off` is the graceful verb.
 */
export function resetTypeFor(action: Action, offered: readonly string[]): string | undefined {
  for (const wanted of resetTypes[action]) {
    const found = offered.find((offer) => offer.toLowerCase() === wanted)
    if (found !== undefined) return found
  }
  return undefined
}

const resetTypes: Record<Action, readonly string[]> = {
  on: ['on'],
  gracefulshutdown: ['gracefulshutdown', 'off'],
  forceoff: ['forceoff'],
  gracefulrestart: ['gracefulrestart'],
  forcerestart: ['forcerestart'],
}

/** Whether the operation ends with the component on, after it was off. */
export function isRestart(operation: Operation): boolean {
  return operation === 'Soft-Restart' || operation === 'Hard-Restart' || operation === 'Init'
}

export interface Means {
  /** A BMC can only be restarted. */
  isController?: boolean
  /** ForceOff is allowed where nothing graceful is offered; never for a Soft operation. */
  forced?: boolean
}

/** How an operation turns a component off, or restarts it in one go; undefined: it cannot. */
export function wayOff(
  operation: Operation,
  offered: readonly string[],
  { forced = false }: Means = {},
): 'gracefulshutdown' | 'forceoff' | undefined {
  const can = (action: Action) => resetTypeFor(action, offered) !== undefined
  if (operation === 'Force-Off') return can('forceoff') ? 'forceoff' : undefined
  if (can('gracefulshutdown')) return 'gracefulshutdown'
  const isSoft = operation === 'Soft-Off' || operation === 'Soft-Restart'
  return forced && !isSoft && can('forceoff') ? 'forceoff' : undefined
}

/** The one reset that is a Soft-Restart; undefined: the component is turned off, then on. */
export function wayAround(
  offered: readonly string[],
  { isController = false }: Means = {},
): 'gracefulrestart' | 'forcerestart' | undefined {
  if (resetTypeFor('gracefulrestart', offered) !== undefined) return 'gracefulrestart'
  if (!isController || resetTypeFor('forcerestart', offered) === undefined) return undefined
  return 'forcerestart'
}

/** What the offered ResetTypes allow. */
export function supportedOperations(offered: readonly string[], means: Means = {}): Operation[] {
  const canOn = resetTypeFor('on', offered) !== undefined
  return operations.filter((operation) => {
    if (operation === 'Soft-Restart' && wayAround(offered, means) !== undefined) return true
    if (means.isController) return false
    if (operation === 'On') return canOn
    return wayOff(operation, offered, means) !== undefined && (!isRestart(operation) || canOn)
  })
}
