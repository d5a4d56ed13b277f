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
 * The nodes of a run: `nodelist` is a Slurm hostlist, `cpusPerNode` Slurm's
 * SLURM_JOB_CPUS_PER_NODE for the same nodes in the same order, such as `128(x2),64`. Where only
 * the sum is known, `cpus`, each node is taken to have its part of it.
 * @throws {Error} naming the text that is malformed, or both counts when they differ.
 */
export function heldNodes(nodelist: string, cpusPerNode?: string, cpus = 0): HeldNode[] {
  const names = expandNodelist(nodelist)
  const cores =
    cpusPerNode === undefined
      ? spreadCpus(cpus, names.length)
      : expandCpus(cpusPerNode, names.length)
  return names.map((node, i) => ({
    node,
    xname: isXname(node) ? parseXname(node).text : null,
    cores: cores?.[i] ?? null,
  }))
}

/**
 * The nodes with the cores that the run kept busy there on average, as if its cores were busy
 * alike; unchanged while its CPU time or its length is not known.
 */
export function withBusyCores<T extends HeldNode>(
  nodes: readonly T[],
  { cpuSeconds, seconds }: { cpuSeconds: number | undefined; seconds: number },
): (T & { busy_cores?: number })[] {
  if (cpuSeconds === undefined || seconds <= 0) return [...nodes]
  const cores = nodes.map((node) => node.cores ?? 1)
  const all = cores.reduce((sum, count) => sum + count, 0)
  return nodes.map((node, i) => {
    return { ...node, busy_cores: (cpuSeconds / seconds) * ((cores[i] ?? 0) / all) }
  })
}

/**
 * The nodes with the accelerators that the run held there, none where others are told of; unchanged
 * where nobody told of any.
 */
export function withAccelerators<T extends HeldNode>(
  nodes: readonly T[],
  told: readonly { nodelist: string; indices: readonly number[] }[] | undefined,
): (T & { accelerators?: number[] })[] {
  if (told === undefined) return [...nodes]
  const byNode = new Map<string, Set<number>>()
  for (const { nodelist, indices } of told) {
    for (const node of expandNodelist(nodelist)) {
      byNode.set(node, new Set([...(byNode.get(node) ?? []), ...indices]))
    }
  }
  return nodes.map((node) => {
    return { ...node, accelerators: [...(byNode.get(node.node) ?? [])].sort((a, b) => a - b) }
  })
}

/** As even as may be; nothing when there is less than a core for each node. */
function spreadCpus(cpus: number, nodes: number): number[] | undefined {
  if (cpus < nodes) return undefined
  const [each, more] = [Math.floor(cpus / nodes), cpus % nodes]
  return Array.from({ length: nodes }, (_, i) => each + (i < more ? 1 : 0))
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
