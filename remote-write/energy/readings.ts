import type { Pool } from 'pg'
import type { EnergyOptions } from './energy.ts'

/**
 * A run's time on a node without a start or end of another run there, with the readings that its
 * energy follows from: what job_readings() in postgres/functions/job_energy.sql returns. Times are
 * seconds since 1970, by the device's clock where it tells one. Nulls are what was not measured.
 */
export interface Piece {
  node: string
  xname: string | null
  from: number
  to: number
  cores: number
  cores_held: number | null
  node_cores: number | null
  /** Its part of what the node draws above the floor: by CPU time where told, else by cores. */
  share: number | null
  /** The node's idle floor; 0 where the run holds the whole node alone. */
  idle_joules: number | null
  node_joules: number | null
  joules: number | null
  method: 'counter' | 'in-band' | 'power' | null
  resets: number | null
  times: number[] | null
  /** Joules of a counter; watts where method is power. */
  readings: number[] | null
  /** The step that the start cuts: the reading after it, from 1, and its part before the start. */
  start_nth: number | null
  start_part: number | null
  end_nth: number | null
  end_part: number | null
  /** Those that runs which share the node own: they are no part of what is shared by cores. */
  accelerators: AcceleratorPiece[] | null
}

export interface AcceleratorPiece {
  accelerator: number
  /** The run's: 0 where others have it. */
  part: number
  joules: number
  method: 'counter' | 'power'
  times: number[] | null
  readings: number[] | null
}

/** The pieces of a job, of which `runs` are ids in the table job, in order of node and time. */
export async function jobReadings(
  pool: Pool,
  runs: readonly string[],
  { asOf, maxGapSeconds }: EnergyOptions,
): Promise<Piece[]> {
  const { rows } = await pool.query<Piece>(
    `select r.node, r.xname, date_part('epoch', r.from_time) as "from",
       date_part('epoch', r.to_time) as "to", r.cores, r.cores_held, r.node_cores, r.share,
       r.idle_joules, r.node_joules, r.joules, r.method, r.resets, r.times, r.readings,
       r.start_nth, r.start_part, r.end_nth, r.end_part, r.accelerators
     from job_readings($1, $2, $3) r
     order by r.node, r.from_time, r.run`,
    [runs, asOf, maxGapSeconds],
  )
  return rows
}

/** When the runs were suspended, in seconds since 1970; a null end: they are. */
export async function jobSuspensions(
  pool: Pool,
  runs: readonly string[],
): Promise<{ from: number; to: number | null }[]> {
  const { rows } = await pool.query<{ from: number; to: number | null }>(
    `select date_part('epoch', s.started_at) as "from", date_part('epoch', s.ended_at) as "to"
     from suspension s where s.run = any ($1)
     order by s.started_at`,
    [runs],
  )
  return rows
}

/** Node-seconds that the runs held until `asOf`. */
export async function nodeSeconds(
  pool: Pool,
  runs: readonly string[],
  asOf: Date,
): Promise<number> {
  const { rows } = await pool.query<{ seconds: number | null }>(
    `select sum(date_part('epoch', least(ended_at, $2) - started_at)) as seconds
     from allocation where run = any ($1)`,
    [runs, asOf],
  )
  return rows[0]?.seconds ?? 0
}

const columns = [
  'node',
  'xname',
  'from',
  'to',
  'method',
  'cores',
  'cores_held',
  'node_cores',
  'share',
  'idle_joules',
] as const

/**
 * A row for each reading, with what is known of its piece before it, so that anyone can reckon the
 * job's energy anew; a piece without readings has one row with the last two columns empty. Rows
 * with an accelerator are its readings, of which the run bears a part; all others are the node's.
 */
export function readingsCsv(pieces: readonly Piece[]): string {
  const lines = pieces.flatMap((piece) => {
    const about = columns.map((column) => quoted(piece[column])).join(',')
    const own = (piece.accelerators ?? []).flatMap((accelerator) =>
      readingRows(`${about},${accelerator.accelerator},${accelerator.part}`, accelerator),
    )
    if ((piece.readings ?? []).length === 0) return [`${about},,,,`]
    return [...readingRows(`${about},,`, piece), ...own]
  })
  return [`${columns.join(',')},accelerator,part,time,reading`, ...lines, ''].join('\n')
}

function readingRows(about: string, { times, readings }: Pick<Piece, 'times' | 'readings'>) {
  return (readings ?? []).map((reading, i) => `${about},${times?.[i] ?? ''},${reading}`)
}

/** RFC 4180. */
export function quoted(value: string | number | null): string {
  if (value === null) return ''
  const text = String(value)
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
