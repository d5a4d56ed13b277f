import type { Seconds } from '../load.ts'
import type { Track } from '../track.ts'

/** What a server's BMC tells of its power over the last `minutes`: whole watts. */
export function powerWindow(track: Track, epoch: Seconds, at: Seconds, minutes: number) {
  const from = Math.max(epoch, at - 60 * minutes)
  const now = track.wattsAt(at).node
  const samples = Array.from({ length: minutes + 1 }, (_, minute) =>
    minute === 0 ? now : track.wattsAt(Math.max(from, at - 60 * minute)).node,
  )
  const joules = track.joulesAt(at).node - track.joulesAt(from).node
  return {
    AverageConsumedWatts: Math.round(at > from ? joules / (at - from) : now),
    IntervalInMin: minutes,
    MaxConsumedWatts: Math.round(Math.max(...samples)),
    MinConsumedWatts: Math.round(Math.min(...samples)),
  }
}
