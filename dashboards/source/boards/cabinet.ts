import { type Board, cabinet as chosen, inCabinet, toNode, transitionAnnotation } from '../board.ts'

export const cabinet: Board = {
  uid: 'joulebridge-cabinet',
  title: 'Cabinet',
  description: 'A liquid-cooled cabinet: chassis, rectifiers, nodes, coolant, leaks, controllers.',
  variables: [chosen],
  from: 'now-6h',
  annotations: [transitionAnnotation],
  rows: [
    {
      title: 'Power',
      panels: [
        {
          kind: 'series',
          title: 'Chassis',
          description: 'AC input and DC output of the rectifiers, and the sum of the nodes.',
          unit: 'watt',
          width: 12,
          min: 0,
          targets: [
            {
              promql: 'chassis:power_watts:input{cabinet=~"$cabinet"}',
              legend: '{{chassis}} input',
            },
            {
              promql: 'chassis:power_watts:output{cabinet=~"$cabinet"}',
              legend: '{{chassis}} output',
            },
            {
              promql: 'chassis:node_power_watts:sum{cabinet=~"$cabinet"}',
              legend: '{{chassis}} nodes',
            },
          ],
        },
        {
          kind: 'series',
          title: 'Nodes',
          description: 'Power at the input of each node.',
          unit: 'watt',
          width: 12,
          min: 0,
          stacked: true,
          targets: [{ promql: 'node:power_watts:max{cabinet=~"$cabinet"}', legend: '{{xname}}' }],
          link: toNode,
        },
        {
          kind: 'series',
          title: 'Rectifiers',
          description:
            'DC output of each rectifier. One that gives next to nothing is lost; its neighbours ' +
            'carry its load.',
          unit: 'watt',
          width: 8,
          min: 0,
          targets: [
            {
              promql: `max by (xname, bmc) (
  cray_rectifier_power_watts{side="Output", ${inCabinet}})`,
              legend: '{{xname}}',
            },
          ],
          alerts: ['RectifierLost', 'RectifiersUnbalanced'],
        },
        {
          kind: 'series',
          title: 'Efficiency of the rectifiers',
          description: 'DC output as a part of the AC input; falls at low load.',
          unit: 'percentunit',
          width: 8,
          max: 1,
          targets: [
            {
              promql: 'chassis:rectifier_efficiency:ratio{cabinet=~"$cabinet"}',
              legend: '{{chassis}}',
            },
          ],
        },
        {
          kind: 'series',
          title: 'Imbalance of the lines',
          description:
            'Greatest less least current of the three lines of a rectifier or a PDU, of their ' +
            'mean. The alert also wants some current.',
          unit: 'percentunit',
          width: 8,
          min: 0,
          targets: [
            {
              promql: `circuit:line_current_imbalance:ratio{${inCabinet}}`,
              legend: '{{xname}} {{mains}}',
            },
          ],
          limits: { above: { warning: 'site:line_imbalance_ratio:warning' } },
          alerts: ['PhaseImbalance'],
        },
      ],
    },
    {
      title: 'Coolant and leaks',
      panels: [
        {
          kind: 'series',
          title: 'Coolant supply',
          description: 'Warmest supply of the cabinet.',
          unit: 'celsius',
          width: 8,
          targets: [
            {
              promql: 'cabinet:coolant_supply_celsius:max{cabinet=~"$cabinet"}',
              legend: '{{cabinet}}',
            },
          ],
          limits: {
            above: {
              warning: 'site:coolant_supply_celsius:warning',
              critical: 'site:coolant_supply_celsius:critical',
            },
          },
          alerts: ['CoolantSupplyHot'],
        },
        {
          kind: 'series',
          title: 'Coolant return',
          description: 'Warmest return of the cabinet.',
          unit: 'celsius',
          width: 8,
          targets: [
            {
              promql: 'cabinet:coolant_return_celsius:max{cabinet=~"$cabinet"}',
              legend: '{{cabinet}}',
            },
          ],
          limits: {
            above: {
              warning: 'site:coolant_return_celsius:warning',
              critical: 'site:coolant_return_celsius:critical',
            },
          },
          alerts: ['CoolantReturnHot'],
        },
        {
          kind: 'series',
          title: 'Pressure drop of the coolant',
          description: 'Supply less return of each chassis: little of it means little flow.',
          unit: 'pressurepa',
          width: 8,
          targets: [
            {
              promql: `chassis:coolant_pressure_drop_pascals:difference{${inCabinet}}`,
              legend: '{{xname}}',
            },
          ],
          limits: { below: { warning: 'site:coolant_pressure_drop_pascals:min' } },
          alerts: ['CoolantPressureDropLow'],
        },
        {
          kind: 'series',
          title: 'Leak detectors',
          description: 'Voltage of each leak detector; the controller decides what is a leak.',
          unit: 'volt',
          width: 12,
          targets: [
            { promql: `cray_leak_detector_volts{${inCabinet}}`, legend: '{{xname}} {{position}}' },
          ],
        },
        {
          kind: 'states',
          title: 'Leak alarms',
          description:
            'The leak alarms of each kind in a chassis, armed when all of them are, as they ' +
            'should be; which one is not stands in the alert.',
          unit: 'none',
          width: 12,
          targets: [
            {
              promql: `min by (chassis, alarm) (label_replace(
  max by (xname, alarm) (cray_leak_alarm_state{${inCabinet}, state="Armed"}),
  "chassis", "$1", "xname", "(x[0-9]+(?:c[0-9]+)?).*"))`,
              legend: '{{chassis}} {{alarm}}',
            },
          ],
          words: { 0: { text: 'not armed', color: 'red' }, 1: { text: 'armed', color: 'green' } },
          alerts: ['LeakDetected', 'LeakDetectionSilent'],
        },
      ],
    },
    {
      title: 'Controllers',
      panels: [
        {
          kind: 'states',
          title: 'Devices that answer',
          description:
            'Controllers of a chassis, PDUs of a rack: whether all answer the exporter. Which do ' +
            'not stands beside it.',
          unit: 'none',
          width: 12,
          targets: [
            {
              promql: `min by (chassis) (label_replace(
  max by (xname) (cray_device_up{${inCabinet}}),
  "chassis", "$1", "xname", "(x[0-9]+(?:c[0-9]+)?).*"))`,
              legend: '{{chassis}}',
            },
          ],
          words: {
            0: { text: 'some silent', color: 'red' },
            1: { text: 'all answer', color: 'green' },
          },
          alerts: ['CabinetSilent'],
        },
        {
          kind: 'table',
          title: 'What is not well',
          description:
            'Devices that do not answer, and parts whose own health is worse than OK, as their ' +
            'controllers say now.',
          unit: 'none',
          width: 12,
          targets: [
            {
              promql: `label_replace(max by (xname) (cray_device_up{${inCabinet}}) == 0,
    "state", "silent", "", "")
  or max by (xname, resource, state) (cray_health_state{${inCabinet}, state!="OK"} == 1)`,
              instant: true,
            },
          ],
          columns: [
            { name: 'xname', title: 'Place' },
            { name: 'resource', title: 'Part' },
            { name: 'state', title: 'Health' },
          ],
          mayBeEmpty: 'all is well',
        },
      ],
    },
  ],
}
