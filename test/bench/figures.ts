/** The middle one, the upper of two. */
export function median(values: readonly number[]): number {
  return quantile(
    values.toSorted((a, b) => a - b),
    0.5,
  )
}

/** The value below which that part of them lies. */
export function quantile(ascending: readonly number[], part: number): number {
  return (
    ascending[Math.min(ascending.length - 1, Math.floor(part * ascending.length))] ?? Number.NaN
  )
}
