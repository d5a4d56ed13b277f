import type { Pool } from 'pg'
import { quoted } from './readings.ts'

/** What a user's jobs of an account drew on a day (UTC), in whole joules: energy_by_account(). */
export interface AccountEnergy {
  day: string
  kind: 'job' | 'idle' | 'unattributed'
  user: string | null
  account: string | null
  joules: number
  jobs: number
}

/** The days from and to are both included. The joules of a day add up to its meters'. */
export async function energyByAccount(
  pool: Pool,
  { from, to, maxGapSeconds }: { from: string; to: string; maxGapSeconds: number },
): Promise<AccountEnergy[]> {
  const { rows } = await pool.query<AccountEnergy>(
    `select to_char(e.day, 'YYYY-MM-DD') as day, e.kind, e.user_name as "user", e.account,
       e.joules::float8 as joules, e.jobs
     from energy_by_account($1, $2, $3) e
     order by e.day, e.kind, e.account, e.user_name`,
    [from, to, maxGapSeconds],
  )
  return rows
}

export function accountsCsv(rows: readonly AccountEnergy[]): string {
  const lines = rows.map(({ day, kind, user, account, joules, jobs }) =>
    [day, kind, user, account, joules, jobs].map(quoted).join(','),
  )
  return ['day,kind,user,account,joules,jobs', ...lines, ''].join('\n')
}
