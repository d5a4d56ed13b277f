import type { Board } from '../board.ts'

const here = 'xname=~"($pdu)([a-z].*)?"'

export const rack: Board = {
  uid: 'joulebridge-rack',
  title: 'Rack and iPDU',
  description: 'Racks: PDUs, phases, branches, outlets; temperature, humidity and dew point.',
  variables: [
    {
      name: 'pdu',
      label: 'PDU',
      query: { promql: 'label_values(pdu:power_watts:input, pdu)' },
      multi: true,
    },
  ],
  from: 'now-6h',
  rows: [
    {
      title: 'Power',
      panels: [
        {
          kind: 'series',
          title: 'Mains and outlets',
          description: 'Power at the mains of each PDU, and the sum of its outlets.',
          unit: 'watt',
          width: 12,
          min: 0,
          targets: [
            { promql: 'pdu:power_watts:input{pdu=~"$pdu"}', legend: '{{pdu}} mains' },
            { promql: 'pdu:power_watts:output{pdu=~"$pdu"}', legend: '{{pdu}} outlets' },
          ],
        },
        {
          kind: 'series',
          title: 'Outlets that draw most',
          description: 'The ten outlets with the highest active power.',
          unit: 'watt',
          width: 12,
          min: 0,
          targets: [
            {
              promql: `topk(10, max by (xname, outlet) (cray_pdu_outlet_power_watts{${here}}))`,
              legend: '{{xname}} {{outlet}}',
            },
          ],
        },
        {
          kind: 'series',
          title: 'Current of the lines',
          description: 'Current of each line of the mains.',
          unit: 'amp',
          width: 8,
          min: 0,
          targets: [
            {
              promql: `max by (xname, mains, line) (cray_pdu_line_current_amperes{${here}})`,
              legend: '{{xname}} {{mains}} {{line}}',
            },
          ],
          mayBeEmpty: 'this PDU measures no lines',
        },
        {
          kind: 'series',
          title: 'Current of the branches',
          description: 'Current through each branch breaker; the limits are parts of its rating.',
          unit: 'amp',
          width: 8,
          min: 0,
          targets: [
            {
              promql: `max by (xname, branch, line) (cray_pdu_branch_current_amperes{${here}})`,
              legend: '{{xname}} {{branch}} {{line}}',
            },
          ],
          limits: {
            above: {
              warning: 'site:branch_current_amperes:warning',
              critical: 'site:branch_current_amperes:critical',
            },
          },
          alerts: ['BreakerNearLimit'],
          mayBeEmpty: 'this PDU measures no branches',
        },
        {
          kind: 'series',
          title: 'Voltage of the phases',
          description: 'Voltage of each phase of the mains.',
          unit: 'volt',
          width: 8,
          targets: [
            {
              promql: `max by (xname, mains, phase) (cray_pdu_phase_voltage_volts{${here}})`,
              legend: '{{xname}} {{mains}} {{phase}}',
            },
          ],
        },
      ],
    },
    {
      title: 'Air',
      panels: [
        {
          kind: 'series',
          title: 'Temperature',
          description:
            "Every probe of the PDUs. The limits are for those that hang at a rack's intake " +
            '(probe:intake_celsius:max).',
          unit: 'celsius',
          width: 8,
          targets: [
            {
              promql: `max by (xname, probe) (cray_pdu_temperature_celsius{${here}})`,
              legend: '{{xname}} {{probe}}',
            },
          ],
          limits: {
            above: {
              warning: 'site:intake_celsius:warning',
              critical: 'site:intake_celsius:critical',
            },
          },
          alerts: ['IntakeHot'],
        },
        {
          kind: 'series',
          title: 'Humidity',
          description: 'Relative humidity at every probe.',
          unit: 'percentunit',
          width: 8,
          min: 0,
          max: 1,
          targets: [
            {
              promql: `max by (xname, probe) (cray_pdu_humidity_ratio{${here}})`,
              legend: '{{xname}} {{probe}}',
            },
          ],
          limits: {
            above: {
              warning: 'site:humidity_ratio:warning',
              critical: 'site:humidity_ratio:critical',
            },
            below: { warning: 'site:humidity_ratio:low' },
          },
          alerts: ['HumidityHigh', 'HumidityLow'],
        },
        {
          kind: 'series',
          title: 'Dew point',
          description: 'From temperature and humidity of one probe: coolant must be warmer.',
          unit: 'celsius',
          width: 8,
          targets: [
            {
              promql: `max by (xname, probe) (probe:dew_point_celsius:magnus{${here}})`,
              legend: '{{xname}} {{probe}}',
            },
          ],
        },
      ],
    },
    {
      title: 'Outlets',
      panels: [
        {
          kind: 'table',
          title: 'Outlets',
          description: 'What each outlet gives now.',
          unit: 'watt',
          width: 24,
          height: 12,
          targets: [
            {
              sql: `select xname, outlet, power_watts, current_amperes, voltage_volts, energy_joules
from pdu_outlet
where xname ~ '^(\${pdu:regex})([a-z].*)?$'
order by power_watts desc nulls last limit 200`,
            },
          ],
          columns: [
            { name: 'xname', title: 'Place' },
            { name: 'outlet', title: 'Outlet' },
            { name: 'power_watts', title: 'Power', unit: 'watt' },
            { name: 'current_amperes', title: 'Current', unit: 'amp' },
            { name: 'voltage_volts', title: 'Voltage', unit: 'volt' },
            { name: 'energy_joules', title: 'Counter', unit: 'joule' },
          ],
        },
      ],
    },
  ],
}
