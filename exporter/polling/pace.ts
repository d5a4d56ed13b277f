import { createHash } from 'node:crypto'

/**
 * Seconds from one poll to the next: the pace, or after some failures in a row ever longer, up to
 * five minutes. A login that was refused is not tried again soon, lest the account be locked.
 */
export function pauseSeconds(
  paceSeconds: number,
  failures: { inARow: number; unauthorized: boolean },
): number {
  const doublings = failures.inARow - (failures.unauthorized ? 0 : failuresAtPace)
  if (doublings <= 0) return paceSeconds
  return Math.max(paceSeconds, Math.min(paceSeconds * 2 ** doublings, longestPauseSeconds))
}

/** Failures that change nothing yet: a controller that restarts is back soon. */
export const failuresAtPace = 2
const longestPauseSeconds = 300

/** Spreads the first polls of many devices over the pace; the same device always starts alike. */
export function startDelaySeconds(xname: string, paceSeconds: number): number {
  const hash = createHash('sha256').update(xname).digest()
  return (hash.readUInt32LE() / 2 ** 32) * paceSeconds
}
