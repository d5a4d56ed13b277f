/**
 * Numbers that look random and are the same at each run. `createRandom` is a sequence (mulberry32,
 * a public-domain generator of 32 bits of state); `hash01` depends on its arguments alone.
 */
export interface Random {
  /** In [0, 1). */
  next(): number
  /** In [low, high). */
  between(low: number, high: number): number
  /** Exponentially distributed: the wait for the next of events that happen at random. */
  exponential(mean: number): number
  /** One of `choices`, each as likely as its weight. */
  pick<T extends { weight: number }>(choices: readonly [T, ...T[]]): T
}

export function createRandom(seed: number): Random {
  let state = seed | 0
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    return mix(state)
  }
  return {
    next,
    between: (low, high) => low + (high - low) * next(),
    exponential: (mean) => -mean * Math.log(1 - next()),
    pick(choices) {
      const total = choices.reduce((sum, { weight }) => sum + weight, 0)
      let left = next() * total
      for (const choice of choices) {
        left -= choice.weight
        if (left < 0) return choice
      }
      return choices[0]
    },
  }
}

/** In [0, 1), the same for the same integers. */
export function hash01(...integers: number[]): number {
  return mix(integers.reduce((hash, integer) => Math.imul(hash ^ integer, 0x9e3779b1), 0x2545f491))
}

function mix(state: number): number {
  let t = Math.imul(state ^ (state >>> 15), state | 1)
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
}
