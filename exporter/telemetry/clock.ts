/** How late a device may deliver, and how wrong its clock may go, before the clock is corrected. */
export const clockToleranceMs = 300_000

/**
 * By how much a device's clock is ahead of ours, negative when it is behind; 0 while it is right
 * within the tolerance. `sampledMs` is the device's time of a body that came at `receivedMs`. What
 * was found once is kept while it fits, so that a body that comes twice has the same times twice.
 */
export function clockErrorMs(sampledMs: number, receivedMs: number, knownErrorMs: number): number {
  const aheadMs = sampledMs - receivedMs
  const fitting = [0, knownErrorMs].find((error) => Math.abs(aheadMs - error) <= clockToleranceMs)
  return fitting ?? Math.round(aheadMs / 1000) * 1000
}
