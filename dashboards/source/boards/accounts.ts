import { account, type Board } from '../board.ts'

/** Jobs that ended in the time shown. */
const ended = `from job_summary
where ended_at >= $__timeFrom()::timestamptz and ended_at < $__timeTo()::timestamptz
  and coalesce(account, '') ~ '^(\${account:regex}|)$'`

const sums = `count(*) as jobs, sum(energy_joules) as energy_joules,
  sum(nodes_with_data)::float8 / nullif(sum(nodes), 0) as measured_ratio`

const sumColumns = [
  { name: 'jobs', title: 'Jobs', unit: 'none' },
  { name: 'energy_joules', title: 'Energy', unit: 'joule' },
  { name: 'measured_ratio', title: 'Nodes measured', unit: 'percentunit' },
]

export const accounts: Board = {
  uid: 'joulebridge-accounts',
  title: 'Accounts and users',
  description: 'Who used how much: energy of the jobs that ended, power of those that run.',
  variables: [account],
  from: 'now-24h',
  rows: [
    {
      title: 'Ended jobs',
      panels: [
        {
          kind: 'table',
          title: 'Accounts',
          description: 'Energy of the jobs that ended in the time shown, by account.',
          unit: 'joule',
          width: 12,
          height: 10,
          targets: [
            {
              sql: `select account, ${sums}
${ended}
group by account order by energy_joules desc nulls last limit 200`,
            },
          ],
          columns: [{ name: 'account', title: 'Account' }, ...sumColumns],
        },
        {
          kind: 'table',
          title: 'Users',
          description: 'Energy of the jobs that ended in the time shown, by user.',
          unit: 'joule',
          width: 12,
          height: 10,
          targets: [
            {
              sql: `select user_name, account, ${sums}
${ended}
group by user_name, account order by energy_joules desc nulls last limit 200`,
            },
          ],
          columns: [
            { name: 'user_name', title: 'User' },
            { name: 'account', title: 'Account' },
            ...sumColumns,
          ],
        },
      ],
    },
    {
      title: 'Running jobs',
      panels: [
        {
          kind: 'series',
          title: 'Power of the accounts',
          description: 'Running jobs, on shared nodes by cores, summed up by account.',
          unit: 'watt',
          width: 12,
          min: 0,
          stacked: true,
          targets: [
            { promql: 'account:power_watts:sum{account=~"$account"}', legend: '{{account}}' },
          ],
          mayBeEmpty: 'no job runs',
        },
        {
          kind: 'series',
          title: 'Energy of the last hour',
          description:
            'Power of the accounts over the hour before each time, for a quick look; for bills ' +
            'take the tables above.',
          unit: 'joule',
          width: 12,
          min: 0,
          stacked: true,
          targets: [
            {
              promql: 'account:energy_joules:sum1h{account=~"$account"}',
              legend: '{{account}}',
            },
          ],
          mayBeEmpty: 'no job runs',
        },
      ],
    },
  ],
}
