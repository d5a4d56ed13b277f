import {
  type Board,
  cabinet,
  inCabinet,
  jobAnnotation,
  toCabinet,
  toJob,
  toNode,
  transitionAnnotation,
} from '../board.ts'

export const system: Board = {
  uid: 'joulebridge-system',
  title: 'System',
  description: 'Where the power goes: from the cabinets down to nodes, accounts and losses.',
  variables: [cabinet],
  from: 'now-6h',
  annotations: [jobAnnotation, transitionAnnotation],
  rows: [
    {
      title: 'Now',
      panels: [
        {
          kind: 'stat',
          title: 'Power',
          description: 'At the inputs of all cabinets: rectifiers of chassis, mains of PDUs.',
          unit: 'watt',
          width: 4,
          targets: [{ promql: 'system:power_watts:sum' }],
        },
        {
          kind: 'stat',
          title: 'Energy in the time shown',
          description: 'Mean power of the system times the length of the time range.',
          unit: 'joule',
          width: 4,
          targets: [
            {
              promql: 'avg_over_time(system:power_watts:sum[$__range]) * $__range_s',
              instant: true,
            },
          ],
        },
        {
          kind: 'stat',
          title: 'Nodes of the power',
          description: 'What nodes take of the power at the inputs; the rest is lost or overhead.',
          unit: 'percentunit',
          width: 4,
          min: 0,
          max: 1,
          targets: [{ promql: 'system:node_power:ratio' }],
        },
        {
          kind: 'stat',
          title: 'Idle',
          description: "What no job has of the nodes' power. No figure while no job runs.",
          unit: 'percentunit',
          width: 4,
          min: 0,
          max: 1,
          targets: [{ promql: 'system:idle_power:ratio' }],
          mayBeEmpty: 'no job is known',
        },
        {
          kind: 'stat',
          title: 'Devices silent',
          description: 'Controllers and PDUs that do not answer the exporter.',
          unit: 'none',
          width: 4,
          targets: [{ promql: 'count(cray_device_up == 0) or vector(0)' }],
          alerts: ['DeviceSilent', 'TelemetryAbsent', 'DeviceForgotten'],
        },
        {
          kind: 'stat',
          title: 'Alerts',
          description: 'Alerts of the rules that fire now, warnings and worse.',
          unit: 'none',
          width: 4,
          targets: [
            { promql: 'count(ALERTS{alertstate="firing", severity!="info"}) or vector(0)' },
          ],
        },
      ],
    },
    {
      title: 'Power',
      panels: [
        {
          kind: 'series',
          title: 'Power of the cabinets',
          description: 'Input of each cabinet, summed up. A cabinet that is silent is missing.',
          unit: 'watt',
          width: 12,
          min: 0,
          stacked: true,
          targets: [
            { promql: 'cabinet:power_watts:sum{cabinet=~"$cabinet"}', legend: '{{cabinet}}' },
          ],
          alerts: ['PowerOverBudget'],
          link: toCabinet,
        },
        {
          kind: 'series',
          title: 'Where it goes',
          description:
            'Nodes; loss of the rectifiers; switches, controllers and cards of the chassis; in ' +
            'racks what PDUs lose and what other things than nodes take at the outlets.',
          unit: 'watt',
          width: 12,
          min: 0,
          stacked: true,
          targets: [
            { promql: 'system:node_power_watts:sum', legend: 'nodes' },
            { promql: 'sum(chassis:rectifier_loss_watts:difference)', legend: 'rectifier loss' },
            { promql: 'sum(chassis:other_power_watts:difference)', legend: 'rest of the chassis' },
            { promql: 'sum(pdu:loss_watts:difference)', legend: 'PDU loss' },
            {
              promql: 'sum(cabinet:other_outlet_power_watts:difference)',
              legend: 'rest of the racks',
            },
          ],
        },
        {
          kind: 'series',
          title: 'Power of the accounts',
          description: 'Running jobs, on shared nodes by cores, summed up by account.',
          unit: 'watt',
          width: 12,
          min: 0,
          stacked: true,
          targets: [{ promql: 'account:power_watts:sum', legend: '{{account}}' }],
          mayBeEmpty: 'no job runs',
          link: {
            title: 'Accounts and users',
            board: 'joulebridge-accounts',
            variables: { account: '${__field.labels.account}' },
          },
        },
        {
          kind: 'series',
          title: 'Jobs that draw most',
          description: 'The ten running jobs with the highest power at each time.',
          unit: 'watt',
          width: 12,
          min: 0,
          targets: [{ promql: 'topk(10, jobid:power_watts:sum)', legend: '{{jobid}} {{user}}' }],
          mayBeEmpty: 'no job runs',
          link: toJob,
        },
        {
          kind: 'series',
          title: 'Ramp',
          description: 'Change of the power within one minute, of what is there at both times.',
          unit: 'watt',
          width: 12,
          targets: [{ promql: 'system:power_watts:delta1m', legend: 'change in 1 min' }],
          alerts: ['PowerRamp'],
        },
        {
          kind: 'series',
          title: 'Nodes that draw most',
          description: 'The ten nodes with the highest power at each time.',
          unit: 'watt',
          width: 12,
          min: 0,
          targets: [
            { promql: `topk(10, node:power_watts:max{${inCabinet}})`, legend: '{{xname}}' },
          ],
          link: toNode,
        },
      ],
    },
    {
      title: 'Climate',
      panels: [
        {
          kind: 'series',
          title: 'Coolant of the cabinets',
          description: 'Warmest supply and return of each liquid-cooled cabinet.',
          unit: 'celsius',
          width: 12,
          targets: [
            {
              promql: 'cabinet:coolant_supply_celsius:max{cabinet=~"$cabinet"}',
              legend: '{{cabinet}} supply',
            },
            {
              promql: 'cabinet:coolant_return_celsius:max{cabinet=~"$cabinet"}',
              legend: '{{cabinet}} return',
            },
          ],
          link: toCabinet,
        },
        {
          kind: 'series',
          title: 'Condensation margin',
          description: "By how much the coolant is warmer than the room's dew point.",
          unit: 'celsius',
          width: 12,
          targets: [
            {
              promql: 'cabinet:dew_point_margin_celsius:min{cabinet=~"$cabinet"}',
              legend: '{{cabinet}}',
            },
          ],
          limits: {
            below: {
              warning: 'site:dew_point_margin_celsius:warning',
              critical: 'site:dew_point_margin_celsius:critical',
            },
          },
          alerts: ['CondensationRisk'],
          link: toCabinet,
        },
      ],
    },
  ],
}
