import type { Reading } from '../metrics.ts'

/** The longest label of the recorded devices has 47 characters. */
const longestLabel = 200

/** An EX4252 controller, with 737 sensors, has about 1,000. */
const mostSeries = 10_000

/**
 * Readings that no device can spoil the output with: values finite, label values short and free
 * of control characters, of each stateset only the first of several contradicting ones, and not
 * without end: what is cut is counted.
 */
export function safeReadings(xname: string, readings: readonly Reading[]): Reading[] {
  const finite = readings.filter(({ value }) => Number.isFinite(value))
  const found = oneStateEach(finite.slice(0, mostSeries).map(withSafeLabels))
  const cut = finite.length - mostSeries
  if (cut <= 0) return found
  return [...found, { metric: 'cray_device_series_cut', labels: { xname, bmc: xname }, value: cut }]
}

function withSafeLabels(reading: Reading): Reading {
  const { labels } = reading
  if (hasSafeLabels(labels)) return reading
  const safe = Object.entries(labels).map(([name, value]) => [name, safeText(value)])
  return { ...reading, labels: Object.fromEntries(safe) }
}

/** Without a list of the values: it is asked of each reading at each poll. */
function hasSafeLabels(labels: Reading['labels']): boolean {
  for (const name in labels) {
    const value = labels[name] ?? ''
    if (value.length > longestLabel || !isPlain(value)) return false
  }
  return true
}

function isPlain(text: string): boolean {
  return !spoiling.test(text)
}

/** Half a surrogate pair is no UTF-8, and two that differ in it would be sent as the same. */
function safeText(text: string): string {
  return text.slice(0, longestLabel).replace(new RegExp(spoiling, 'gu'), ' ').trim()
}

/** Control characters, and halves of surrogate pairs. */
const spoiling = /[\p{Cc}\p{Cs}]/u

/** A second set repeats the first state of the first one, since they all begin alike. */
function oneStateEach(readings: readonly Reading[]): Reading[] {
  const shown = new Map<string, { states: Set<string>; closed: boolean }>()
  return readings.filter(({ metric, labels }) => {
    const { state } = labels
    if (state === undefined) return true
    const key = setKey(metric, labels)
    const set = shown.get(key) ?? { states: new Set<string>(), closed: false }
    shown.set(key, set)
    set.closed ||= set.states.has(state)
    set.states.add(state)
    return !set.closed
  })
}

/** Unambiguous, since labels are without control characters by now. */
function setKey(metric: string, labels: Reading['labels']): string {
  let key = metric
  for (const name in labels) if (name !== 'state') key += `\n${name}\n${labels[name]}`
  return key
}
