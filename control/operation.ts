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
export const actions = ['on', 'gracefulshutdown', 'forceoff'] as const
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
}

/** Whether the operation ends with the component on, after it was off. */
export function isRestart(operation: Operation): boolean {
  return operation === 'Soft-Restart' || operation === 'Hard-Restart' || operation === 'Init'
}

/**
 * What the offered ResetTypes allow. A restart is always off, then on: only an off that was seen
 * proves it, so GracefulRestart and ForceRestart are not used.
 */
export function supportedOperations(offered: readonly string[]): Operation[] {
  const can = (action: Action) => resetTypeFor(action, offered) !== undefined
  return operations.filter((operation) => {
    if (operation === 'On') return can('on')
    if (operation === 'Force-Off') return can('forceoff')
    return can('gracefulshutdown') && (!isRestart(operation) || can('on'))
  })
}
