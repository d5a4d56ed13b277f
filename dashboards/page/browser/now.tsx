import { useState } from 'preact/hooks'
import type { Overview, PowerHistory } from './api.ts'
import { PowerChart } from './chart.tsx'
import { percent, quantity } from './format.ts'
import { Answer, useAnswer } from './loading.tsx'
import { type Measure, SystemMap } from './map.tsx'
import { Span } from './span.tsx'

/** The system now, and its power over the last hours. */
export function Now() {
  const overview = useAnswer<Overview>('/api/v1/overview', 10)
  const [hours, setHours] = useState(6)
  const power = useAnswer<PowerHistory>(`/api/v1/overview/power?hours=${hours}`, 60)
  const [measure, setMeasure] = useState<Measure>('power_watts')
  return (
    <>
      <Answer of={overview}>{(now) => <Figures now={now} />}</Answer>
      <section>
        <h2>
          Nodes{' '}
          <select
            aria-label="Colour of the nodes"
            value={measure}
            onChange={(event) => setMeasure(event.currentTarget.value as Measure)}
          >
            <option value="power_watts">by power</option>
            <option value="temperature_celsius">by temperature</option>
          </select>
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
      </section>
    </>
  )
}

function Figures({ now: { cabinets, nodes, silent } }: { now: Overview }) {
  const input = sum(cabinets.map(({ input_watts }) => input_watts))
  const used = sum(nodes.map(({ power_watts }) => power_watts))
  const busy = nodes.filter(({ job_ids }) => job_ids.length > 0).length
  return (
    <dl class="figures">
      <Figure name="System" value={quantity(input, 'W')} />
      <Figure name="Nodes" value={quantity(used, 'W')} />
      <Figure name="Losses and overhead" value={percent(input > 0 ? 1 - used / input : null)} />
      <Figure name="Nodes with jobs" value={`${busy} of ${nodes.length}`} />
      <Figure name="Devices silent" value={named(silent)} />
    </dl>
  )
}

/** The first by name; of many only how many more there are. */
function named(xnames: readonly string[]): string {
  if (xnames.length === 0) return 'none'
  const more = xnames.length > 5 ? ` and ${xnames.length - 5} more` : ''
  return xnames.slice(0, 5).join(', ') + more
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
