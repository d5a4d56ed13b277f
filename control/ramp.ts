import type { RampSettings } from './transition-settings.ts'

/** Nodes that were turned on in the last minute, or are about to be: then 0 seconds ago. */
export interface TurnedOn {
  xname: string
  secondsAgo: number
}

interface Waiting {
  /** First who goes first. */
  waiting: readonly string[]
  recent: readonly TurnedOn[]
  ramp: RampSettings
  /** What a node that is turned on is counted as. */
  wattsOf: (xname: string) => number
}

/**
 * How many of those that wait, from the first on, may be turned on now: so many nodes and so many
 * watts in any minute, and a sixth of both in any ten seconds. A node that is more than the watts
 * of a minute goes when none has gone for a minute.
 */
export function allowedNow({ waiting, recent, ramp, wattsOf }: Waiting): number {
  const { nodesPerMinute = Number.POSITIVE_INFINITY, wattsPerMinute = Number.POSITIVE_INFINITY } =
    ramp
  const sumOf = (turnedOn: readonly TurnedOn[]) => ({
    nodes: turnedOn.length,
    watts: turnedOn.reduce((sum, { xname }) => sum + wattsOf(xname), 0),
  })
  const minute = sumOf(recent)
  const lately = sumOf(recent.filter(({ secondsAgo }) => secondsAgo < 10))
  const isFull = (watts: number) =>
    minute.nodes >= Math.floor(nodesPerMinute) ||
    lately.nodes >= Math.ceil(nodesPerMinute / 6) ||
    lately.watts >= wattsPerMinute / 6 ||
    (minute.nodes > 0 && minute.watts + watts > wattsPerMinute)
  let allowed = 0
  for (const xname of waiting) {
    const watts = wattsOf(xname)
    if (isFull(watts)) break
    allowed++
    for (const sum of [minute, lately]) {
      sum.nodes++
      sum.watts += watts
    }
  }
  return allowed
}
