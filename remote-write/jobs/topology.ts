import type { Pool } from 'pg'
import { z } from 'zod'
import { isXname, parseXname } from '../../exporter/inventory/xname.ts'
import { readSettings } from '../../exporter/service/settings.ts'
import { inTransaction } from '../postgres/transaction.ts'
import { lockJobs } from './record.ts'

const topologyFile = z.array(
  z.strictObject({
    node: z.string().min(1).max(256),
    xname: z
      .string()
      .refine(isXname, 'expected an xname such as x1000c0s0b0n0')
      .transform((text) => parseXname(text).text),
    cores: z.int().min(1).optional(),
  }),
)

/**
 * Takes over which node name is which place from a YAML or JSON list of {node, xname, cores}.
 * Names that the file does not have stay, since jobs of the past may still be told; allocations
 * that had no place yet get theirs.
 * @throws {SettingsError} naming file, line and fault.
 */
export async function loadTopology(pool: Pool, file: string): Promise<void> {
  const nodes = await readSettings(topologyFile, file)
  await inTransaction(pool, async (client) => {
    await client.query(lockJobs)
    await client.query(upsertNodes, [JSON.stringify(nodes)])
    await client.query(mapAllocations)
  })
}

const upsertNodes = `
  insert into node (name, xname, cores)
  select distinct on (node_key(n.node)) n.node, n.xname, n.cores
  from jsonb_to_recordset($1) as n (node text, xname text, cores int4)
  order by node_key(n.node)
  on conflict (key) do update
    set name = excluded.name, xname = excluded.xname, cores = excluded.cores`

const mapAllocations = `
  update allocation a
  set xname = n.xname, node_cores = n.cores
  from node n
  where a.xname is null and node_key(a.node) = n.key`
