/** An instant, or a span of time, in seconds; instants count from 1970 UTC. */
export type Seconds = number

/** Power over time whose energy is known in closed form, so that a counter never drifts from it. */
export interface Load {
  /** Watts at `elapsed` seconds after the load began. */
  watts(elapsed: Seconds): number
  /** Joules drawn in the first `elapsed` seconds: the exact integral of `watts`. */
  joules(elapsed: Seconds): number
}

/** How the power of an application runs over time, before it is scaled to watts; the mean is 1. */
export type Shape =
  | { kind: 'steady' }
  /** A sine: solvers whose phases blur. `swing` < 1 is the part of the mean it rises and falls. */
  | { kind: 'wave'; swing: number; period: Seconds }
  /** A square wave: compute, then wait for `1 - duty` of the period at `low` of the mean. */
  | { kind: 'phases'; low: number; duty: number; period: Seconds }

/** The load of `meanWatts` in this shape. */
export function shapedLoad(shape: Shape, meanWatts: number): Load {
  switch (shape.kind) {
    case 'steady':
      return { watts: () => meanWatts, joules: (elapsed) => meanWatts * elapsed }
    case 'wave':
      return wave(meanWatts, meanWatts * shape.swing, shape.period)
    case 'phases':
      return phases(meanWatts, shape.low, shape.duty, shape.period)
  }
}

/** `mean` watts, with a sine of `swing` watts about it that starts at `phase` of its period. */
export function wave(mean: number, swing: number, period: Seconds, phase = 0): Load {
  const turn = (2 * Math.PI) / period
  const angle = (elapsed: Seconds) => turn * elapsed + 2 * Math.PI * phase
  return {
    watts: (elapsed) => mean + swing * Math.sin(angle(elapsed)),
    joules: (elapsed) =>
      mean * elapsed + (swing / turn) * (Math.cos(angle(0)) - Math.cos(angle(elapsed))),
  }
}

function phases(mean: number, low: number, duty: number, period: Seconds): Load {
  const lowWatts = mean * low
  const highWatts = (mean - lowWatts * (1 - duty)) / duty
  const busy = duty * period
  return {
    watts: (elapsed) => (elapsed % period < busy ? highWatts : lowWatts),
    joules(elapsed) {
      const rest = elapsed % period
      const whole = elapsed - rest
      const high = whole * duty + Math.min(rest, busy)
      return high * highWatts + (elapsed - high) * lowWatts
    },
  }
}
