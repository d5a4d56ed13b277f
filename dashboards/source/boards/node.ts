import { type Board, jobAnnotation, jobColumn, transitionAnnotation } from '../board.ts'

const here = 'xname="$xname"'

export const node: Board = {
  uid: 'joulebridge-node',
  title: 'Node',
  description: 'One node: its power and what of it goes where, its limit, its heat, its jobs.',
  variables: [
    {
      name: 'xname',
      label: 'Node',
      query: { promql: 'label_values(node:power_watts:max, xname)' },
      multi: false,
    },
  ],
  from: 'now-3h',
  annotations: [jobAnnotation, transitionAnnotation],
  rows: [
    {
      title: 'Power',
      panels: [
        {
          kind: 'series',
          title: 'Power and its limit',
          description:
            'Input power of the node, what it draws without load, and the limit in force where ' +
            'one is set.',
          unit: 'watt',
          width: 12,
          min: 0,
          targets: [
            { promql: `node:power_watts:max{${here}}`, legend: 'power' },
            { promql: `max by (xname) (cray_node_idle_power_watts{${here}})`, legend: 'idle' },
            {
              promql: `max by (control) (cray_power_limit_watts{${here}, processor="",
  control=~"NodePowerLimit|0|EnvironmentMetrics", mode!="Disabled"} > 0)`,
              legend: 'limit',
            },
          ],
          alerts: ['PowerCapNotObeyed'],
          mayBeEmpty: 'no limit is set',
        },
        {
          kind: 'series',
          title: 'By part',
          description:
            'Power of all CPUs, all memory and each accelerator, as the node measures it.',
          unit: 'watt',
          width: 12,
          min: 0,
          stacked: true,
          targets: [
            { promql: `max by (domain) (cray_domain_power_watts{${here}})`, legend: '{{domain}}' },
            {
              promql: `max by (accelerator) (cray_accelerator_power_watts{${here}})`,
              legend: 'accelerator {{accelerator}}',
            },
          ],
          mayBeEmpty: 'this node has no such meters',
        },
        {
          kind: 'series',
          title: 'Power by the energy counter',
          description:
            'Rise of the energy counter per second: what jobs are charged by. It should lie on ' +
            'the power.',
          unit: 'watt',
          width: 8,
          min: 0,
          targets: [
            {
              promql: `max by (xname) (
  rate(cray_node_energy_joules_total{${here}}[$__rate_interval]))`,
              legend: 'counter',
            },
          ],
          mayBeEmpty: 'this node has no energy counter',
        },
        {
          kind: 'stat',
          title: 'Restarts of the counter',
          description: 'How often the energy counter fell within the time shown.',
          unit: 'none',
          width: 4,
          targets: [
            {
              promql: `max(resets(cray_node_energy_joules_total{${here}}[$__range]))`,
              instant: true,
            },
          ],
          height: 8,
          badAbove: 0,
          alerts: ['CounterResets'],
          mayBeEmpty: 'this node has no energy counter',
        },
        {
          kind: 'series',
          title: 'Supplies',
          description: 'Input voltage of the power supplies of a rack server.',
          unit: 'volt',
          width: 6,
          targets: [
            {
              promql: `max by (chassis, bay) (cray_power_supply_input_volts{${here}})`,
              legend: '{{chassis}} {{bay}}',
            },
          ],
          limits: { below: { critical: 'site:supply_input_volts:min' } },
          alerts: ['SupplyLost', 'SupplySilent'],
          mayBeEmpty: 'a blade has no supplies of its own',
        },
        {
          kind: 'states',
          title: 'Power state',
          description: 'As the controller says.',
          unit: 'none',
          width: 6,
          targets: [
            {
              promql: `max by (xname) (cray_power_state{${here}, state="On"})`,
              legend: '{{xname}}',
            },
          ],
          words: { 0: { text: 'not on', color: 'gray' }, 1: { text: 'on', color: 'green' } },
          alerts: ['NodePowerMissing'],
        },
      ],
    },
    {
      title: 'Heat and readings',
      panels: [
        {
          kind: 'series',
          title: 'Warmest sensors',
          description: 'The ten warmest thermometers of the node.',
          unit: 'celsius',
          width: 12,
          targets: [
            {
              promql: `topk(10, max by (chassis, name, sensor) ({${here},
  __name__=~"cray_(sensor|server|processor)_temperature_celsius"}))`,
              legend: '{{name}} {{sensor}}',
            },
          ],
        },
        {
          kind: 'series',
          title: 'Intake',
          description: 'Air that a rack server takes in.',
          unit: 'celsius',
          width: 6,
          targets: [
            {
              promql: `max by (xname) (cray_server_temperature_celsius{${here},
  context="Intake", name=~"(?i).*(inlet|intake|ambient).*"})`,
              legend: '{{xname}}',
            },
          ],
          limits: { above: { critical: 'site:intake_celsius:critical' } },
          alerts: ['ServerIntakeHot'],
          mayBeEmpty: 'a blade takes in no air',
        },
        {
          kind: 'series',
          title: 'Age of the readings',
          description: "Now less the device's own time of its power and energy readings.",
          unit: 's',
          width: 6,
          targets: [
            {
              promql: `max by (sensor) (time() - cray_sensor_reading_timestamp_seconds{${here}})`,
              legend: '{{sensor}}',
            },
          ],
          limits: { above: { warning: 'site:reading_clock_seconds:warning' } },
          alerts: ['ReadingClockOff'],
          mayBeEmpty: 'this device does not tell when it read',
        },
        {
          kind: 'table',
          title: 'Its jobs',
          description: 'Jobs that held the node in the time shown, newest first.',
          unit: 'none',
          width: 24,
          targets: [
            {
              sql: `select j.job_id, j.user_name, j.name, a.started_at, a.ended_at
from allocation a
join job j on j.id = a.run
where a.xname = \${xname:sqlstring} and a.started_at < $__timeTo()::timestamptz
  and (a.ended_at is null or a.ended_at > $__timeFrom()::timestamptz)
order by a.started_at desc limit 50`,
            },
          ],
          columns: [
            jobColumn,
            { name: 'user_name', title: 'User' },
            { name: 'name', title: 'Name' },
            { name: 'started_at', title: 'Start', unit: 'dateTimeAsIso' },
            { name: 'ended_at', title: 'End', unit: 'dateTimeAsIso' },
          ],
          mayBeEmpty: 'no job was on this node',
        },
      ],
    },
  ],
}
