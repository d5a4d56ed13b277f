import { chmod, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type pg from 'pg'

/** Rows in one COPY, which is a transaction. */
export const rowsPerCopy = 10_000

/** Loads plain rows of one sample each with COPY from files that the server itself reads. */
export class Copies {
  readonly #client: pg.Client
  readonly #directory: string
  #files = 0

  /** Keeps the files in a folder within `parent`, which the server can reach. */
  static async make(client: pg.Client, parent: string): Promise<Copies> {
    const directory = join(parent, 'rows')
    await mkdir(directory)
    // The server is another user.
    await chmod(directory, 0o755)
    return new Copies(client, directory)
  }

  private constructor(client: pg.Client, directory: string) {
    this.#client = client
    this.#directory = directory
  }

  /** Writes files that hold a sample of each of these series at each time, in this order. */
  async prepare(times: readonly number[], ids: readonly number[]): Promise<string[]> {
    const rows = times.flatMap((timeMs) => ids.map((id) => [id, timeMs] as const))
    const pages = Array.from({ length: Math.ceil(rows.length / rowsPerCopy) }, (_, page) =>
      rows.slice(page * rowsPerCopy, (page + 1) * rowsPerCopy),
    )
    return await Promise.all(
      pages.map(async (page) => {
        const file = join(this.#directory, String(this.#files++))
        await writeFile(file, copyFile(page), { mode: 0o644 })
        return file
      }),
    )
  }

  async remove(files: readonly string[]): Promise<void> {
    await Promise.all(files.map((file) => rm(file)))
  }

  /** Rows a second of `copy TABLE from FILE` for each file, one after the other. */
  async into(table: string, files: readonly string[]): Promise<number> {
    const began = performance.now()
    for (const file of files) {
      await this.#client.query(`copy ${table} from '${file}' with (format binary)`)
    }
    return (files.length * rowsPerCopy * 1000) / (performance.now() - began)
  }

  /** The same by way of a temporary table, passing over rows that the table has already. */
  async merge(table: string, files: readonly string[]): Promise<number> {
    await this.#client.query(`create temp table if not exists incoming (like ${table})`)
    const began = performance.now()
    for (const file of files) {
      await this.#client.query(
        `begin;
         copy incoming from '${file}' with (format binary);
         insert into ${table} select * from incoming on conflict do nothing;
         truncate incoming;
         commit`,
      )
    }
    return (files.length * rowsPerCopy * 1000) / (performance.now() - began)
  }
}

/**
 * A table of one row for each sample, keyed by series and time, that holds some millions already:
 * an empty one is faster than any in use.
 */
export async function growRows(
  client: pg.Client,
  { table, series, steps, beforeMs }: GrownTable,
): Promise<void> {
  await client.query(`create table ${table} (series_id int4, time timestamptz, value float8)`)
  await client.query(
    `insert into ${table}
     select id, to_timestamp($3) - step * interval '250 ms', 200 + (id * 7919 + step) % 997 / 10.0
     from generate_series($2::int4, 1, -1) as step, generate_series(0, $1::int4 - 1) as id`,
    [series, steps, beforeMs / 1000],
  )
  await client.query(`alter table ${table} add primary key (series_id, time)`)
}

export interface GrownTable {
  table: string
  series: number
  /** Rows of each series, one for each quarter of a second `beforeMs`. */
  steps: number
  beforeMs: number
}

/** PostgreSQL manual, COPY, "Binary Format"; times count from 2000. */
function copyFile(rows: readonly (readonly [id: number, timeMs: number])[]): Buffer {
  const header = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)])
  const body = Buffer.alloc(rows.length * rowBytes)
  for (const [i, [id, timeMs]] of rows.entries()) {
    const at = i * rowBytes
    body.writeInt16BE(3, at)
    body.writeInt32BE(4, at + 2)
    body.writeInt32BE(id, at + 6)
    body.writeInt32BE(8, at + 10)
    body.writeBigInt64BE(BigInt(timeMs - 946_684_800_000) * 1000n, at + 14)
    body.writeInt32BE(8, at + 22)
    body.writeDoubleBE(200 + ((id * 7919 + timeMs / 250) % 997) / 10, at + 26)
  }
  return Buffer.concat([header, body, Buffer.of(0xff, 0xff)])
}

const rowBytes = 2 + 8 + 12 + 8 + 4
