const prefixes = [
  [1e12, 'T'],
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
  [1, ''],
] as const

/** `7.5 kW` for the mark of an axis, with no more digits than it needs. */
export function mark(value: number, unit: string): string {
  const [size, prefix] = prefixes.find(([least]) => Math.abs(value) >= least) ?? [1, '']
  return `${Number((value / size).toPrecision(4))} ${prefix}${unit}`
}

/** `968.1 kJ`; a dash for what is not known. */
export function quantity(value: number | null | undefined, unit: string): string {
  if (value === null || value === undefined) return '–'
  const [size, prefix] = prefixes.find(([least]) => Math.abs(value) >= least) ?? [1, '']
  const scaled = value / size
  const digits = Math.abs(scaled) >= 100 ? 1 : 2
  return `${scaled.toFixed(size === 1 ? 0 : digits)} ${prefix}${unit}`
}

export function percent(ratio: number | null | undefined): string {
  return ratio === null || ratio === undefined ? '–' : `${(ratio * 100).toFixed(1)} %`
}

/** In the reader's own time zone. */
export function moment(text: string | null): string {
  if (text === null) return '–'
  return new Date(text).toLocaleString(undefined, {
    month: 'short',
    day: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  })
}

/** `1:02:03`. */
export function duration(seconds: number): string {
  const parts = [
    Math.floor(seconds / 3600),
    Math.floor(seconds / 60) % 60,
    Math.floor(seconds) % 60,
  ]
  return parts.map((part, i) => (i === 0 ? String(part) : String(part).padStart(2, '0'))).join(':')
}
