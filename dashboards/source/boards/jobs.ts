import { account, type Board, jobColumn } from '../board.ts'

const inRange = `started_at < $__timeTo()::timestamptz
  and (ended_at is null or ended_at >= $__timeFrom()::timestamptz)`

export const jobs: Board = {
  uid: 'joulebridge-jobs',
  title: 'Jobs',
  description: 'Jobs by energy: which used most, and how well each was measured.',
  variables: [account],
  from: 'now-6h',
  rows: [
    {
      title: 'Jobs',
      panels: [
        {
          kind: 'table',
          title: 'Jobs by energy',
          description:
            'Jobs that ran in the time shown, with the energy of their whole life so far, what ' +
            'it is at least and at most, and which part of their node time was measured.',
          unit: 'joule',
          width: 24,
          height: 14,
          targets: [
            {
              sql: `select job_id, user_name, account, name, state, started_at, ended_at, nodes,
  energy_joules, energy_low_joules, energy_high_joules, coverage_ratio, method
from job_summary
where ${inRange}
  and coalesce(account, '') ~ '^(\${account:regex}|)$'
order by energy_joules desc nulls last limit 200`,
            },
          ],
          columns: [
            jobColumn,
            { name: 'user_name', title: 'User' },
            { name: 'account', title: 'Account' },
            { name: 'name', title: 'Name' },
            { name: 'state', title: 'State' },
            { name: 'started_at', title: 'Start', unit: 'dateTimeAsIso' },
            { name: 'ended_at', title: 'End', unit: 'dateTimeAsIso' },
            { name: 'nodes', title: 'Nodes', unit: 'none' },
            { name: 'energy_joules', title: 'Energy', unit: 'joule' },
            { name: 'energy_low_joules', title: 'At least', unit: 'joule' },
            { name: 'energy_high_joules', title: 'At most', unit: 'joule' },
            { name: 'coverage_ratio', title: 'Coverage', unit: 'percentunit' },
            { name: 'method', title: 'Method' },
          ],
        },
        {
          kind: 'series',
          title: 'Power of the running jobs',
          description: 'Each running job, on shared nodes by cores.',
          unit: 'watt',
          width: 12,
          min: 0,
          stacked: true,
          targets: [
            {
              promql: 'jobid:power_watts:sum{account=~"$account"}',
              legend: '{{jobid}} {{user}}',
            },
          ],
          mayBeEmpty: 'no job runs',
        },
        {
          kind: 'series',
          title: 'Nodes of jobs that are measured',
          description: 'Of the nodes that jobs hold, the part whose power is known.',
          unit: 'percentunit',
          width: 12,
          min: 0,
          max: 1,
          targets: [{ promql: 'system:job_power_coverage:ratio', legend: 'measured' }],
          limits: { below: { warning: 'site:job_power_coverage_ratio:min' } },
          alerts: ['JobPowerCoverageLow'],
          mayBeEmpty: 'no job runs',
        },
      ],
    },
  ],
}
