import type { Pool } from 'pg'
import { CapmcError, capmcTime, type PowerWindow } from './request.ts'

interface PowerRow {
  /** Null: the whole system. */
  cabinet: number | null
  source: 'rectifiers' | 'nodes' | null
  avg: number
  min: number
  max: number
  coverage_ratio: number
}

/** What the whole system and each cabinet drew in the window, in watts; see system_power(). */
export async function systemPower(pool: Pool, { start, seconds }: PowerWindow) {
  const end = new Date(start.getTime() + seconds * 1000)
  const { rows } = await pool.query<PowerRow>(
    `select p.cabinet, p.source, p.avg_watts as avg, p.min_watts as min, p.max_watts as max,
       p.coverage_ratio
     from system_power($1, $2) p
     order by p.cabinet`,
    [start, end],
  )
  const whole = rows.find(({ cabinet }) => cabinet === null)
  if (!whole) {
    const window = `${capmcTime(start)} to ${capmcTime(end)}`
    throw new CapmcError('NO_DATA', `No data in time window ${window}`)
  }
  const window = { start_time: capmcTime(start), window_len: seconds }
  const { avg, min, max, coverage_ratio } = whole
  const cabinets = rows.flatMap(({ cabinet, ...row }) =>
    cabinet === null ? [] : [{ x: cabinet, y: 0, ...row }],
  )
  return {
    system: { ...window, avg, min, max, coverage_ratio },
    details: { ...window, cabinets },
  }
}
