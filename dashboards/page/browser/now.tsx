import { useState } from 'preact/hooks'
import { AlertFigure, AlertList, AlertSource, useAlerts } from './alerts.tsx'
import type { Alerts, Overview, PowerHistory } from './api.ts'
import { PowerChart } from './chart.tsx'
import { percent, quantity } from './format.ts'
import { Answer, useAnswer } from './loading.tsx'
import { ColourChoice, type Measure, SystemMap } from './map.tsx'
import { PlaceLink } from './place-link.tsx'
import { Span } from './span.tsx'
import { Wide } from './wide.tsx'

/** The system now, and its power over the last hours. */
export function Now() {
  const alerts = useAlerts()
  const overview = useAnswer<Overview>('/api/v1/overview', 10)
  const [hours, setHours] = useState(6)
  const power = useAnswer<PowerHistory>(`/api/v1/overview/power?hours=${hours}`, 60)
  const [measure, setMeasure] = useState<Measure>('power_watts')
  return (
    <>
      <Answer of={overview}>{(now) => <Figures now={now} alerts={alerts} />}</Answer>
      {isLoud(alerts.value) && <AlertList of={alerts} />}
      <section>
        <h2>
          Nodes <ColourChoice measure={measure} set={setMeasure} />
        </h2>
        <Answer of={overview}>
          {({ nodes }) => <SystemMap nodes={nodes} measure={measure} />}
        </Answer>
      </section>
      <section>
        <h2>
          Power of the cabinets <Span hours={hours} set={setHours} />
        </h2>
        <Answer of={power}>
          {(history) => <PowerChart history={history} label="Input power of the cabinets" />}
        </Answer>
        <Answer of={overview}>{({ cabinets }) => <Cabinets of={cabinets} />}</Answer>
      </section>
      <AlertSource of={alerts} />
    </>
  )
}

function isLoud(alerts: Alerts | undefined): boolean {
  return alerts !== undefined && (alerts.alerts.length > 0 || alerts.error !== null)
}

interface Figured {
  now: Overview
  alerts: { value?: Alerts; error?: string }
}

function Figures({ now: { cabinets, nodes, silent }, alerts }: Figured) {
  const input = sum(cabinets.map(({ input_watts }) => input_watts))
  const used = sum(nodes.map(({ power_watts }) => power_watts))
  const busy = nodes.filter(({ job_ids }) => job_ids.length > 0).length
  return (
    <dl class="figures">
      <Figure name="System" value={quantity(input, 'W')} />
      <Figure name="Nodes" value={quantity(used, 'W')} />
      <Figure name="Losses and overhead" value={percent(input > 0 ? 1 - used / input : null)} />
      <Figure name="Nodes with jobs" value={`${busy} of ${nodes.length}`} />
      <AlertFigure of={alerts} />
      <div class={silent.length > 0 ? 'alerting warning' : ''}>
        <dt>Devices silent</dt>
        <dd>
          <Named xnames={silent} />
        </dd>
      </div>
    </dl>
  )
}

/** The first by name; of many only how many more there are. */
function Named({ xnames }: { xnames: readonly string[] }) {
  if (xnames.length === 0) return 'none'
  const more = xnames.length > 5 ? `and ${xnames.length - 5} more` : ''
  return (
    <>
      {xnames.slice(0, 5).map((xname) => (
        <span key={xname}>
          <PlaceLink xname={xname} />{' '}
        </span>
      ))}
      {more}
    </>
  )
}

function Cabinets({ of: cabinets }: { of: Overview['cabinets'] }) {
  return (
    <Wide label="Cabinets">
      <table>
        <thead>
          <tr>
            <th>Cabinet</th>
            <th class="right">Input</th>
            <th class="right">Nodes</th>
            <th class="right">Losses and overhead</th>
          </tr>
        </thead>
        <tbody>
          {cabinets.map(({ cabinet, input_watts: input, node_watts: used }) => (
            <tr key={cabinet}>
              <td>
                <PlaceLink xname={cabinet} />
              </td>
              <td class="right">{quantity(input, 'W')}</td>
              <td class="right">{quantity(used, 'W')}</td>
              <td class="right">{percent(input && used !== null ? 1 - used / input : null)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Wide>
  )
}

function Figure({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  )
}

function sum(values: readonly (number | null)[]): number {
  return values.reduce<number>((total, value) => total + (value ?? 0), 0)
}
