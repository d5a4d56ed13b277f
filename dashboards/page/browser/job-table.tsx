import { useState } from 'preact/hooks'
import type { Job } from './api.ts'
import { duration, moment, percent, quantity } from './format.ts'
import { Wide } from './wide.tsx'

interface Column {
  title: string
  /** What rows are sorted by. */
  key: (job: Job) => string | number
  cell: (job: Job) => string
  right?: boolean
}

const columns: readonly Column[] = [
  { title: 'Job', key: (job) => job.job_id, cell: (job) => String(job.job_id) },
  {
    title: 'Energy',
    key: (job) => job.energy.joules ?? -1,
    cell: (job) => quantity(job.energy.joules, 'J'),
    right: true,
  },
  { title: 'User', key: (job) => job.user ?? '', cell: (job) => job.user ?? '–' },
  { title: 'Account', key: (job) => job.account ?? '', cell: (job) => job.account ?? '–' },
  { title: 'Name', key: (job) => job.name ?? '', cell: (job) => job.name ?? '–' },
  { title: 'State', key: (job) => job.state, cell: (job) => job.state },
  { title: 'Start', key: (job) => job.started_at, cell: (job) => moment(job.started_at) },
  { title: 'Time', key: secondsOf, cell: (job) => duration(secondsOf(job)), right: true },
  { title: 'Nodes', key: (job) => job.nodes, cell: (job) => String(job.nodes), right: true },
  {
    title: 'Coverage',
    key: (job) => job.energy.coverage_ratio,
    cell: (job) => percent(job.energy.coverage_ratio),
    right: true,
  },
]

interface Sorted {
  title: string
  down: boolean
}

interface Order {
  sorted: Sorted
  turn: (title: string) => void
}

/** At first by the column of this title, the largest on top. */
export function useOrder(title: string): Order {
  const [sorted, setSorted] = useState<Sorted>({ title, down: true })
  const turn = (chosen: string) =>
    setSorted((last) => ({ title: chosen, down: last.title === chosen ? !last.down : true }))
  return { sorted, turn }
}

/** Jobs with their energy in an order that whoever looks may change. */
export function JobTable({
  jobs,
  order: { sorted, turn },
}: {
  jobs: readonly Job[]
  order: Order
}) {
  return (
    <Wide label="Jobs">
      <table>
        <thead>
          <tr>
            {columns.map(({ title, right }) => (
              <th key={title} class={right ? 'right' : ''} aria-sort={sortWord(sorted, title)}>
                <button type="button" onClick={() => turn(title)}>
                  {title}
                  {sorted.title === title && (sorted.down ? ' ▾' : ' ▴')}
                </button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {inOrder(jobs, sorted).map((job) => (
            <tr key={`${job.cluster} ${job.job_id}`}>
              {columns.map(({ title, cell, right }) => (
                <td key={title} class={right ? 'right' : ''}>
                  {title === 'Job' ? <a href={jobPath(job)}>{cell(job)}</a> : cell(job)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Wide>
  )
}

function sortWord(sorted: Sorted, title: string): 'ascending' | 'descending' | 'none' {
  if (sorted.title !== title) return 'none'
  return sorted.down ? 'descending' : 'ascending'
}

function inOrder(jobs: readonly Job[], { title, down }: Sorted): Job[] {
  const key = columns.find((column) => column.title === title)?.key ?? secondsOf
  return jobs.toSorted((a, b) => compare(key(a), key(b)) * (down ? -1 : 1))
}

function compare(a: string | number, b: string | number): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function jobPath({ cluster, job_id }: Pick<Job, 'cluster' | 'job_id'>): string {
  return `#/jobs/${encodeURIComponent(cluster)}/${job_id}`
}

export function secondsOf({ started_at, ended_at }: Job): number {
  const end = ended_at === null ? Date.now() : Date.parse(ended_at)
  return (end - Date.parse(started_at)) / 1000
}
