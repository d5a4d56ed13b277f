/** A label of a series; the metric's name is the label `__name__`. */
export interface Label {
  name: string
  value: string
}

export interface LabelLimits {
  labelsPerSeries: number
  /** The longest label name or value. */
  labelBytes: number
}

/** Metric names stand in an index, whose entries have room for some 2700 bytes. */
const metricBytes = 1024

/**
 * What forbids this label set (Remote-Write 1.0, "Labels"), or undefined. Labels in another order
 * than the specification's do no harm and are accepted.
 */
export function labelFault(labels: readonly Label[], limits: LabelLimits): string | undefined {
  if (labels.length > limits.labelsPerSeries) {
    return `more than ${limits.labelsPerSeries} labels`
  }
  const names = new Set(labels.map(({ name }) => name))
  if (names.size < labels.length) return 'a label name stands twice'
  if (!names.has('__name__')) return 'no label __name__'
  for (const label of labels) {
    const fault = faultOf(label, limits.labelBytes)
    if (fault !== undefined) return fault
  }
  return undefined
}

function faultOf({ name, value }: Label, limit: number): string | undefined {
  if (name === '') return 'an empty label name'
  if (value === '') return `label ${shown(name)} is empty`
  if (Buffer.byteLength(name) > limit) return `a label name of more than ${limit} bytes`
  const longest = name === '__name__' ? Math.min(metricBytes, limit) : limit
  if (Buffer.byteLength(value) > longest) return `label ${shown(name)} has over ${longest} bytes`
  // PostgreSQL has no zero character; the reader gives one for bytes that are not UTF-8.
  if (name.includes('\0') || value.includes('\0')) return `label ${shown(name)} is not valid text`
  return undefined
}

/** OpenMetrics allows 128 characters in all labels of an exemplar; each may take four bytes. */
const exemplarBytes = 512
export const exemplarLabels = 64

/** Whether an exemplar's labels can be stored: few, valid text, and no name twice. */
export function exemplarFits(labels: readonly Label[]): boolean {
  const text = labels.map(({ name, value }) => name + value).join('')
  const names = new Set(labels.map(({ name }) => name))
  const distinct = names.size === labels.length && !names.has('')
  return (
    distinct &&
    labels.length <= exemplarLabels &&
    Buffer.byteLength(text) <= exemplarBytes &&
    !text.includes('\0')
  )
}

/** A series as Prometheus writes it, cut to a readable length. */
export function describeLabels(labels: readonly Label[]): string {
  const metric = labels.find(({ name }) => name === '__name__')?.value ?? ''
  const rest = labels.filter(({ name }) => name !== '__name__')
  const text = `${metric}{${rest.map((l) => `${l.name}=${JSON.stringify(l.value)}`).join(',')}}`
  return shown(text)
}

function shown(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}...` : text
}
