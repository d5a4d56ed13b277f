export interface Metric {
  name: string
  /** A stateset has one series per state in the label `state`, 1 for the one it is in, else 0. */
  type: 'gauge' | 'counter' | 'stateset'
  /** Where the value stands in the device, and how it is converted. */
  help: string
  labels: readonly string[]
}

/** The labels of every reading: the component, the controller that told it, and how. */
export const common = ['xname', 'bmc', 'source'] as const

export function gauge<const N extends string>(name: N, help: string, labels: readonly string[]) {
  return { name, type: 'gauge', help, labels } as const
}

export function counter<const N extends `${string}_total`>(
  name: N,
  help: string,
  labels: readonly string[],
) {
  return { name, type: 'counter', help, labels } as const
}

export function stateset<const N extends string>(name: N, help: string, labels: readonly string[]) {
  return { name, type: 'stateset', help, labels } as const
}
