import { useState } from 'preact/hooks'
import type { JobParts } from './api.ts'
import { moment, percent, quantity } from './format.ts'
import { Answer, useAnswer } from './loading.tsx'
import { Wide } from './wide.tsx'

interface Place {
  /** Path of the job's energy. */
  path: string
  /** `?cluster=` with the job's. */
  query: string
}

/** What the energy of a job is made of, what comes on top of it, and how it was reckoned. */
export function Parts({ path, query }: Place) {
  const parts = useAnswer<JobParts>(`${path}/parts${query}`)
  return (
    <>
      <Answer of={parts}>
        {({ steps, suspensions, domains, overhead }) => (
          <>
            {steps.length > 0 && <Steps of={steps} />}
            {suspensions.length > 0 && <Suspensions of={suspensions} />}
            {domains.length > 0 && <Domains of={domains} />}
            {overhead.length > 0 && <Overhead of={overhead} />}
          </>
        )}
      </Answer>
      <Explanation path={path} query={query} />
    </>
  )
}

function Steps({ of: steps }: { of: JobParts['steps'] }) {
  return (
    <Table
      title="Its steps"
      heads={['Step', 'Start', 'End', 'Energy', 'At least', 'At most', 'Coverage']}
      words={3}
      rows={steps.map((step) => [step.step, ...stretch(step)])}
    />
  )
}

function Suspensions({ of: suspensions }: { of: JobParts['suspensions'] }) {
  return (
    <Table
      title="While it was suspended"
      heads={['Start', 'End', 'Energy', 'At least', 'At most', 'Coverage']}
      words={2}
      rows={suspensions.map(stretch)}
    />
  )
}

function stretch(of: JobParts['suspensions'][number]): string[] {
  return [
    moment(of.started_at),
    moment(of.ended_at),
    quantity(of.joules, 'J'),
    quantity(of.joules_low, 'J'),
    quantity(of.joules_high, 'J'),
    percent(of.coverage_ratio),
  ]
}

function Domains({ of: domains }: { of: JobParts['domains'] }) {
  return (
    <Table
      title="Within its nodes"
      heads={['Part', 'Energy', 'Nodes that tell it']}
      words={1}
      rows={domains.map(({ domain, joules, nodes_with_data }) => [
        domain,
        quantity(joules, 'J'),
        String(nodes_with_data),
      ])}
    />
  )
}

function Overhead({ of: overhead }: { of: JobParts['overhead'] }) {
  return (
    <Table
      title="On top of it, by its share of each cabinet"
      heads={[
        'Cabinet',
        'Its nodes',
        'Lost in rectifiers',
        'Switches',
        'Everything else',
        'Cooling',
      ]}
      words={1}
      rows={overhead.map((each) => [
        each.cabinet,
        quantity(each.node_joules, 'J'),
        quantity(each.rectifier_loss_joules, 'J'),
        quantity(each.switch_joules, 'J'),
        quantity(each.other_joules, 'J'),
        quantity(each.cooling_joules, 'J'),
      ])}
    />
  )
}

interface TableProps {
  title: string
  heads: readonly string[]
  /** So many columns hold words, the others numbers. */
  words: number
  rows: readonly (readonly string[])[]
}

function Table({ title, heads, words, rows }: TableProps) {
  const side = (column: number) => (column < words ? '' : 'right')
  return (
    <>
      <h3>{title}</h3>
      <Wide label={title}>
        <table>
          <thead>
            <tr>
              {heads.map((head, column) => (
                <th key={head} class={side(column)}>
                  {head}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((cells) => (
              <tr key={cells[0]}>
                {cells.map((cell, column) => (
                  <td key={heads[column]} class={side(column)}>
                    {cell}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </Wide>
    </>
  )
}

/** Asked for only when it is opened: of a large job it is long. */
function Explanation({ path, query }: Place) {
  const [open, setOpen] = useState(false)
  const format = `${query}&format=explain`
  const text = useAnswer<string>(open ? `${path}/readings${format}` : undefined)
  return (
    <>
      <h3>How its energy was reckoned</h3>
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>Edges, resets and gaps of each node</summary>
        <Answer of={text}>{(words) => <pre>{words}</pre>}</Answer>
      </details>
      <p>
        <a href={`${path}/readings${query}&format=csv`}>Every reading as CSV</a>
      </p>
    </>
  )
}
