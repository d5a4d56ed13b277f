const hourMs = 3600 * 1000

/** A window of time: compacted as a whole, and one partition of `frames`. They begin at 1970. */
export const windowMs = 4 * hourMs

export const hoursPerWindow = windowMs / hourMs

/** The window's number counts from 1970; its lock in the database goes by it. */
export function windowNumber(timeMs: number): number {
  return Math.floor(timeMs / windowMs)
}

/** From 0: the hour of its window that a time lies in. */
export function hourOfWindow(timeMs: number): number {
  return Math.floor(timeMs / hourMs) - windowNumber(timeMs) * hoursPerWindow
}

/** A partition of a table by time, for the half-open interval. */
export interface Partition {
  name: string
  fromMs: number
  toMs: number
}

/** Those that ended more than `delaySeconds` ago, oldest first. */
export function duePartitions(
  partitions: readonly Partition[],
  nowMs: number,
  delaySeconds: number,
): Partition[] {
  return partitions
    .filter(({ toMs }) => toMs < nowMs - delaySeconds * 1000)
    .sort((a, b) => a.fromMs - b.fromMs)
}
