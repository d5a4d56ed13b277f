import type { Label } from '../validate.ts'
import { countNodelist } from './nodelist.ts'

/** Which labels tell of jobs, by what they tell; of several that a series has the first counts. */
export interface JobLabelNames {
  jobId: readonly string[]
  cluster: readonly string[]
  node: readonly string[]
  step: readonly string[]
  user: readonly string[]
  account: readonly string[]
  partition: readonly string[]
}

/** What the labels of a series tell of a job, named as the columns of job_label. */
export interface JobFact {
  job_id: number
  cluster: string
  /** Empty: not told. */
  node: string
  /** Empty: not told. */
  step: string
  user_name: string | null
  account: string | null
  partition: string | null
  /** All labels with names that may name the first four. */
  labels: Record<string, string>
}

/** Why the labels of a series tell less than they could. */
export const labelFaults = ['job_id', 'node', 'step', 'name'] as const
export type LabelFault = (typeof labelFaults)[number]

/** The cluster of jobs whose series name none. */
export const unnamedCluster = 'default'

/** More nodes than this in the hostlist of one label are taken for no hostlist. */
const mostNodes = 16_384
const nodeLength = 1024
const nameLength = 256

/** Our own series of jobs, scraped and written back, tell nothing new. */
const ownMetrics = 'cray_job_'

/**
 * What a series tells of a job; undefined without a label that is a job id. `fault` hears of each
 * label that has the right name and a value that cannot be used: only that label is left out.
 */
export function parseJobFact(
  labels: readonly Label[],
  names: JobLabelNames,
  fault: (fault: LabelFault) => void,
): JobFact | undefined {
  if (labelOf(labels, ['__name__'])?.value.startsWith(ownMetrics)) return undefined
  const read = <T>(kind: keyof JobLabelNames, parse: (text: string) => T | undefined) => {
    const label = labelOf(labels, names[kind])
    if (!label) return undefined
    const value = parse(label.value)
    if (value === undefined) fault(faultOf(kind))
    return value
  }
  const id = read('jobId', parseJobId)
  if (!id) return undefined
  return {
    job_id: id.jobId,
    cluster: read('cluster', parseName) ?? unnamedCluster,
    node: read('node', parseNode) ?? '',
    step: read('step', parseStep) ?? id.step,
    user_name: read('user', parseName) ?? null,
    account: read('account', parseName) ?? null,
    partition: read('partition', parseName) ?? null,
    labels: Object.fromEntries(
      labels
        .filter(({ name }) => placeNames(names).includes(name))
        .map(({ name, value }) => [name, value]),
    ),
  }
}

/** The names of labels that may name job, cluster, node or step. */
export function placeNames({ jobId, cluster, node, step }: JobLabelNames): string[] {
  return [...jobId, ...cluster, ...node, ...step]
}

function faultOf(kind: keyof JobLabelNames): LabelFault {
  if (kind === 'jobId') return 'job_id'
  return kind === 'node' || kind === 'step' ? kind : 'name'
}

function labelOf(labels: readonly Label[], names: readonly string[]): Label | undefined {
  for (const name of names) {
    const label = labels.find((one) => one.name === name)
    if (label) return label
  }
  return undefined
}

/**
 * The job of a Slurm job id, as `squeue` and `sacct` print them: `123`; `123.0` and `123.batch`, a
 * step; `123_4`, a task of an array, and `123+1`, a component of a heterogeneous job, whose own
 * numbers nobody can know from that: they count for job 123. Job ids have 32 bits.
 */
export function parseJobId(text: string): { jobId: number; step: string } | undefined {
  const [, id, step] = /^(\d{1,10})(?:[_+]\d{1,10})?(?:\.(\w{1,11}))?$/.exec(text) ?? []
  const jobId = Number(id)
  if (!(jobId > 0 && jobId < 2 ** 32)) return undefined
  const known = step === undefined ? '' : parseStep(step)
  return known === undefined ? undefined : { jobId, step: known }
}

/** Slurm's numbers for steps that have names (slurm.h, SLURM_BATCH_SCRIPT and its like). */
const namedSteps = new Map([
  [4294967292, 'extern'],
  [4294967291, 'batch'],
  [4294967290, 'interactive'],
])

function parseStep(text: string): string | undefined {
  if (['batch', 'extern', 'interactive'].includes(text)) return text
  if (!/^\d{1,10}$/.test(text)) return undefined
  const number = Number(text)
  const named = namedSteps.get(number)
  return number < 2 ** 32 - 16 ? String(number) : named
}

/** A hostlist as it stands; else the name without a port and, but for an address, a domain. */
function parseNode(text: string): string | undefined {
  const name = /[[\],]/.test(text) ? text : text.replace(/:\d+$/, '')
  const node = /[[\],]/.test(name) || /^[\d.]+$/.test(name) ? name : name.replace(/\..*$/, '')
  if (node.length > nodeLength) return undefined
  try {
    const count = countNodelist(node)
    return count > 0 && count <= mostNodes ? node : undefined
  } catch {
    return undefined
  }
}

function parseName(text: string): string | undefined {
  return text.length > nameLength ? undefined : text
}
