import { type Board, nodeColumn, toNode, transitionAnnotation } from '../board.ts'

/** Power of the nodes while the job holds them. */
const itsNodes =
  'max by (xname) (cray_job_node_info{jobid="$jobid"}) * on (xname) node:power_watts:max'

const itsRuns = 'array(select id from job where job_id::text = ${jobid:sqlstring})'

export const job: Board = {
  uid: 'joulebridge-job',
  title: 'Job',
  description: 'One job: its energy with bounds, its power, how its nodes differ.',
  variables: [
    {
      name: 'jobid',
      label: 'Job',
      query: {
        sql: `select distinct on (started_at, job_id) job_id::text from job
where started_at < $__timeTo()::timestamptz
  and (ended_at is null or ended_at >= $__timeFrom()::timestamptz)
order by started_at desc, job_id limit 500`,
      },
      multi: false,
    },
  ],
  from: 'now-6h',
  annotations: [transitionAnnotation],
  rows: [
    {
      title: 'Energy',
      panels: [
        {
          kind: 'table',
          title: 'Energy of the job',
          description:
            'Of all its runs until now. The truth lies between the bounds, where the readings ' +
            'around its edges give bounds; coverage is the part of its node time with readings.',
          unit: 'joule',
          width: 24,
          height: 5,
          targets: [
            {
              sql: `select user_name, account, name, state, started_at, ended_at, runs, nodes,
  nodes_with_data, energy_joules, energy_low_joules, energy_high_joules, coverage_ratio, method,
  resets
from job_summary where job_id::text = \${jobid:sqlstring}`,
            },
          ],
          columns: [
            { name: 'user_name', title: 'User' },
            { name: 'account', title: 'Account' },
            { name: 'name', title: 'Name' },
            { name: 'state', title: 'State' },
            { name: 'started_at', title: 'Start', unit: 'dateTimeAsIso' },
            { name: 'ended_at', title: 'End', unit: 'dateTimeAsIso' },
            { name: 'runs', title: 'Runs', unit: 'none' },
            { name: 'nodes', title: 'Nodes', unit: 'none' },
            { name: 'nodes_with_data', title: 'Measured', unit: 'none' },
            { name: 'energy_joules', title: 'Energy', unit: 'joule' },
            { name: 'energy_low_joules', title: 'At least', unit: 'joule' },
            { name: 'energy_high_joules', title: 'At most', unit: 'joule' },
            { name: 'coverage_ratio', title: 'Coverage', unit: 'percentunit' },
            { name: 'method', title: 'Method' },
            { name: 'resets', title: 'Resets', unit: 'none' },
          ],
        },
      ],
    },
    {
      title: 'Power',
      panels: [
        {
          kind: 'series',
          title: 'Power of the nodes',
          description: 'Whole nodes, as long as the job holds them; shared nodes are not divided.',
          unit: 'watt',
          width: 16,
          height: 10,
          min: 0,
          stacked: true,
          targets: [{ promql: itsNodes, legend: '{{xname}}' }],
          link: toNode,
          mayBeEmpty: 'the job ran before Prometheus knew of it',
        },
        {
          kind: 'series',
          title: 'Spread of the nodes',
          description: 'Least, mean and greatest power of its nodes: far apart is out of balance.',
          unit: 'watt',
          width: 8,
          height: 10,
          min: 0,
          targets: [
            { promql: `min(${itsNodes})`, legend: 'least' },
            { promql: `avg(${itsNodes})`, legend: 'mean' },
            { promql: `max(${itsNodes})`, legend: 'greatest' },
          ],
          mayBeEmpty: 'the job ran before Prometheus knew of it',
        },
      ],
    },
    {
      title: 'Nodes',
      panels: [
        {
          kind: 'table',
          title: 'Energy of each node',
          description:
            "What the job bears of each node's energy. Resets are restarts of its counter, each " +
            'widens the bounds.',
          unit: 'joule',
          width: 24,
          height: 10,
          targets: [
            {
              sql: `select xname, node, joules, joules_low, joules_high, coverage_ratio, method,
  resets
from job_energy(${itsRuns}, now(), 300)
where not whole order by joules desc nulls last limit 500`,
            },
          ],
          columns: [
            nodeColumn,
            { name: 'node', title: 'Node' },
            { name: 'joules', title: 'Energy', unit: 'joule' },
            { name: 'joules_low', title: 'At least', unit: 'joule' },
            { name: 'joules_high', title: 'At most', unit: 'joule' },
            { name: 'coverage_ratio', title: 'Coverage', unit: 'percentunit' },
            { name: 'method', title: 'Method' },
            { name: 'resets', title: 'Resets', unit: 'none' },
          ],
        },
      ],
    },
  ],
}
