import { isXname, parseXname } from '../../exporter/inventory/xname.ts'
import { expandNodelist } from './nodelist.ts'

/** A node that a run holds. */
export interface HeldNode {
  /** The scheduler's name for it. */
  node: string
  /** Its place, if the name is an xname already; else the topology knows. */
  xname: string | null
  /** Cores held; null: not told, which counts as all. */
  cores: number | null
}

/**
 * The nodes of a start event: `nodelist` is a Slurm hostlist, `cpusPerNode` Slurm's
 * SLURM_JOB_CPUS_PER_NODE for the same nodes in the same order, such as `128(x2),64`.
 * @throws {Error} naming the text that is malformed, or both counts when they differ.
 */
export function heldNodes(nodelist: string, cpusPerNode?: string): HeldNode[] {
  const names = expandNodelist(nodelist)
  const cores = cpusPerNode === undefined ? undefined : expandCpus(cpusPerNode, names.length)
  return names.map((node, i) => ({
    node,
    xname: isXname(node) ? parseXname(node).text : null,
    cores: cores?.[i] ?? null,
  }))
}

function expandCpus(text: string, nodes: number): number[] {
  const groups = text.split(',').map(parseGroup)
  const count = groups.reduce((sum, { times }) => sum + times, 0)
  if (count !== nodes) {
    throw new Error(`cpus_per_node ${JSON.stringify(text)} is for ${count} nodes, not ${nodes}`)
  }
  return groups.flatMap(({ cpus, times }) => Array.from({ length: times }, () => cpus))
}

function parseGroup(group: string): { cpus: number; times: number } {
  const [, cpus, times = '1'] = /^([1-9]\d{0,6})(?:\(x(\d{1,6})\))?$/.exec(group.trim()) ?? []
  if (cpus === undefined) {
    throw new Error(`cpus_per_node: ${JSON.stringify(group)} is not a count such as 128(x2)`)
  }
  return { cpus: Number(cpus), times: Number(times) }
}
