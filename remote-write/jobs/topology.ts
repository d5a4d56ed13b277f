import type { Pool } from 'pg'
import { z } from 'zod'
import { isXname, parseXname } from '../../exporter/inventory/xname.ts'
import { readSettings } from '../../exporter/service/settings.ts'
import { inTransaction } from '../postgres/transaction.ts'
import { expandNodelist } from './nodelist.ts'
import { lockJobs } from './record.ts'

/** Where a node of the scheduler is. */
export interface PlacedNode {
  node: string
  xname: string
  cores?: number | undefined
}

const hostlist = z.string().min(1).max(4096)

/** Both lists expand to equally many names: those in the same position belong together. */
const topologyFile = z.array(
  z
    .strictObject({ node: hostlist, xname: hostlist, cores: z.int().min(1).optional() })
    .transform(({ node, xname, cores }, context): PlacedNode[] => {
      const fault = (path: string, message: string) => {
        context.addIssue({ code: 'custom', path: [path], message })
        return []
      }
      const [nodes, places] = [expanded(node), expanded(xname)]
      if (nodes instanceof Error) return fault('node', nodes.message)
      const wrong = places instanceof Error ? xname : places.find((place) => !isXname(place))
      if (places instanceof Error || wrong !== undefined) {
        return fault('xname', `expected an xname such as x1000c0s0b0n0, got ${wrong}`)
      }
      if (nodes.length !== places.length) {
        return fault('xname', `has ${places.length} places for ${nodes.length} nodes`)
      }
      return nodes.map((name, i) => {
        return { node: name, xname: parseXname(places[i] ?? '').text, cores }
      })
    }),
)

function expanded(list: string): string[] | Error {
  try {
    return expandNodelist(list)
  } catch (error) {
    return error as Error
  }
}

/**
 * Takes over which node name is which place from a YAML or JSON list of {node, xname, cores}, where
 * node and xname may be hostlists: `nid[000001-000004]` and `x1000c0s0b[0-1]n[0-1]`.
 * @throws {SettingsError} naming file, line and fault.
 */
export async function loadTopology(pool: Pool, file: string): Promise<void> {
  await storeTopology(pool, (await readSettings(topologyFile, file)).flat())
}

/**
 * Names that are not given stay, since jobs of the past may still be told; allocations that had no
 * place yet get theirs, and those that had one keep it. Where a node was until now is kept for runs
 * of that time.
 */
export async function storeTopology(pool: Pool, nodes: readonly PlacedNode[]): Promise<void> {
  await inTransaction(pool, async (client) => {
    await client.query(lockJobs)
    await client.query(keepPast, [JSON.stringify(nodes)])
    await client.query(upsertNodes, [JSON.stringify(nodes)])
    await client.query(mapAllocations)
  })
}

/** From now on; the place of a node that moves twice within a transaction's time is the first. */
const keepPast = `
  insert into node_past (key, until, xname, cores)
  select distinct on (node.key) node.key, now(), node.xname, node.cores
  from jsonb_to_recordset($1) as n (node text, xname text)
  join node on node.key = node_key(n.node) and node.xname <> n.xname
  on conflict (key, until) do nothing`

const upsertNodes = `
  insert into node (name, xname, cores)
  select distinct on (node_key(n.node)) n.node, n.xname, n.cores
  from jsonb_to_recordset($1) as n (node text, xname text, cores int4)
  order by node_key(n.node)
  on conflict (key) do update
    set name = excluded.name, xname = excluded.xname, cores = coalesce(excluded.cores, node.cores)
    where (node.name, node.xname) <> (excluded.name, excluded.xname)
      or node.cores is distinct from coalesce(excluded.cores, node.cores)`

const mapAllocations = `
  update allocation a
  set xname = n.xname, node_cores = n.cores
  from node n
  where a.xname is null and node_key(a.node) = n.key`
