import { useState } from 'preact/hooks'
import type { Energy, Job as JobAnswer, JobEnergy, PowerHistory } from './api.ts'
import { PowerChart } from './chart.tsx'
import { facts } from './facts.ts'
import { duration, moment, percent, quantity } from './format.ts'
import { Parts } from './job-parts.tsx'
import { secondsOf } from './job-table.tsx'
import { Answer, useAnswer } from './loading.tsx'
import { Wide } from './wide.tsx'

/** One job: its energy with bounds, what it costs, its power, its nodes. */
export function Job({ cluster, jobId }: { cluster: string; jobId: string }) {
  const place = `/api/v1/jobs/${jobId}`
  const query = `?cluster=${encodeURIComponent(cluster)}`
  const job = useAnswer<JobAnswer>(`${place}${query}`)
  const energy = useAnswer<JobEnergy>(`${place}/energy${query}`)
  return (
    <section>
      <h2>Job {jobId}</h2>
      <Answer of={job}>{(found) => <Facts job={found} />}</Answer>
      <Answer of={energy}>
        {(found) => (
          <>
            {job.value && <Profile job={job.value} energy={found} />}
            <Nodes energy={found} name={`job-${jobId}`} />
            <Parts path={`${place}/energy`} query={query} />
          </>
        )}
      </Answer>
    </section>
  )
}

function Facts({ job }: { job: JobAnswer }) {
  const { energy } = job
  return (
    <>
      <p>
        {job.name ?? 'A job'} of {job.user ?? 'an unknown user'}, account {job.account ?? '–'},
        cluster {job.cluster}: {job.state}, {job.nodes} nodes ({job.nodelist}),{' '}
        {moment(job.started_at)} to {moment(job.ended_at)}, {duration(secondsOf(job))}
        {job.runs > 1 && `, in ${job.runs} runs`}
      </p>
      <dl class="figures">
        <div>
          <dt>Energy</dt>
          <dd>{quantity(energy.joules, 'J')}</dd>
        </div>
        <div>
          <dt>Between</dt>
          <dd>
            {quantity(energy.joules_low, 'J')} and{' '}
            {energy.joules_high === null ? 'not known yet' : quantity(energy.joules_high, 'J')}
          </dd>
        </div>
        <div>
          <dt>Measured</dt>
          <dd>
            {percent(energy.coverage_ratio)} of the node time, {energy.nodes_with_data} of{' '}
            {energy.nodes_expected} nodes
          </dd>
        </div>
        <div>
          <dt>Method</dt>
          <dd>{methods[energy.method] ?? energy.method}</dd>
        </div>
        <Cost joules={energy.joules} />
      </dl>
    </>
  )
}

const methods: Record<string, string> = {
  counter: 'energy counters',
  'in-band': 'energy counters that the nodes read themselves',
  power: 'power over time',
  mixed: 'counters and power',
  none: 'nothing was measured',
}

const joulesPerKwh = 3.6e6

/** In money and CO2, by the site's factors or those that the reader sets in their place. */
function Cost({ joules }: { joules: number | null }) {
  const [price, setPrice] = useFactor('price per kWh', facts.pricePerKwh)
  const [carbon, setCarbon] = useFactor('gCO2 per kWh', facts.co2GramsPerKwh)
  const kwh = (joules ?? 0) / joulesPerKwh
  return (
    <>
      <div>
        <dt>
          <label>
            Cost at <input type="number" min="0" step="any" value={price} onInput={setPrice} />{' '}
            {facts.currency} a kWh
          </label>
        </dt>
        <dd>
          {price === '' ? '–' : `${(kwh * Number(price)).toFixed(2)} ${facts.currency ?? ''}`}
        </dd>
      </div>
      <div>
        <dt>
          <label>
            CO₂ at <input type="number" min="0" step="any" value={carbon} onInput={setCarbon} /> g a
            kWh
          </label>
        </dt>
        <dd>{carbon === '' ? '–' : quantity(kwh * Number(carbon), 'g')}</dd>
      </div>
    </>
  )
}

function useFactor(
  name: string,
  ofSite: number | undefined,
): [string, (event: { currentTarget: HTMLInputElement }) => void] {
  const [value, setValue] = useState(localStorage.getItem(name) ?? String(ofSite ?? ''))
  return [
    value,
    ({ currentTarget }) => {
      localStorage.setItem(name, currentTarget.value)
      setValue(currentTarget.value)
    },
  ]
}

function Profile({ job, energy }: { job: JobAnswer; energy: JobEnergy }) {
  const xnames = energy.nodes.flatMap(({ xname }) => xname ?? []).slice(0, 512)
  const [now] = useState(() => new Date().toISOString())
  const parameters = new URLSearchParams({ from: job.started_at, to: job.ended_at ?? now })
  for (const xname of xnames) parameters.append('xname', xname)
  const path = xnames.length > 0 ? `/api/v1/nodes/power?${parameters}` : undefined
  const power = useAnswer<PowerHistory>(path)
  return (
    <>
      <h3>Power of its nodes</h3>
      <Answer of={power}>
        {(history) =>
          history.lines.length === 0 ? (
            <p class="quiet">No samples of power in this time.</p>
          ) : (
            <PowerChart history={history} label="Power of the job's nodes over its time" />
          )
        }
      </Answer>
    </>
  )
}

function Nodes({ energy, name }: { energy: JobEnergy; name: string }) {
  return (
    <>
      <h3>Its nodes</h3>
      <p>
        <a download={`${name}.csv`} href={dataUrl('text/csv', csv(energy))}>
          CSV
        </a>{' '}
        <a
          download={`${name}.json`}
          href={dataUrl('application/json', JSON.stringify(energy, null, 2))}
        >
          JSON
        </a>
      </p>
      <Wide label="Nodes of the job">
        <table>
          <thead>
            <tr>
              <th>Place</th>
              <th>Node</th>
              <th class="right">Energy</th>
              <th class="right">At least</th>
              <th class="right">At most</th>
              <th class="right">Coverage</th>
              <th>Method</th>
              <th class="right">Resets</th>
            </tr>
          </thead>
          <tbody>
            {energy.nodes.map((node) => (
              <tr key={node.node}>
                <td>
                  {node.xname === null ? '–' : <a href={`#/nodes/${node.xname}`}>{node.xname}</a>}
                </td>
                <td>{node.node}</td>
                <td class="right">{quantity(node.joules, 'J')}</td>
                <td class="right">{quantity(node.joules_low, 'J')}</td>
                <td class="right">{quantity(node.joules_high, 'J')}</td>
                <td class="right">{percent(node.coverage_ratio)}</td>
                <td>{methods[node.method] ?? node.method}</td>
                <td class="right">{node.resets}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Wide>
    </>
  )
}

const exported = [
  'joules',
  'joules_low',
  'joules_high',
  'coverage_ratio',
  'method',
  'resets',
] as const

function csv({ nodes }: JobEnergy): string {
  const row = (node: Energy & { node: string; xname: string | null }) =>
    [node.node, node.xname ?? '', ...exported.map((key) => node[key] ?? '')].join(',')
  return [['node', 'xname', ...exported].join(','), ...nodes.map(row), ''].join('\n')
}

function dataUrl(type: string, text: string): string {
  return `data:${type};charset=utf-8,${encodeURIComponent(text)}`
}
