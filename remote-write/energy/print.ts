import fetch from 'node-fetch'
import { z } from 'zod'

const energy = z.object({
  joules: z.number().nullable(),
  joules_low: z.number().nullable(),
  joules_high: z.number().nullable(),
  coverage_ratio: z.number(),
  method: z.string(),
  resets: z.number(),
})
const jobEnergy = energy.extend({
  job_id: z.number(),
  nodes_expected: z.number(),
  nodes_with_data: z.number(),
  nodes: z.array(energy.extend({ xname: z.string().nullable() })),
})

/**
 * What remote-write at `url` answers for a job's energy: as a table for people, as JSON, how it
 * comes about, or each reading that it follows from.
 * @throws {Error} with remote-write's own words when it refuses, or its address when it is silent.
 */
export async function describeJobEnergy(
  url: string,
  id: string,
  form: 'table' | 'json' | 'explain' | 'csv',
): Promise<string> {
  const where = `${url.replace(/\/+$/, '')}/api/v1/jobs/${encodeURIComponent(id)}/energy`
  const behind = form === 'explain' || form === 'csv'
  const asked = behind ? `${where}/readings?format=${form}` : where
  const text = await answerOf(asked).catch((cause: unknown) => {
    throw new Error(`remote-write at ${url}`, { cause })
  })
  if (behind) return text.trimEnd()
  const body: unknown = JSON.parse(text)
  return form === 'json' ? JSON.stringify(body, null, 2) : table(jobEnergy.parse(body))
}

async function answerOf(url: string): Promise<string> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(30_000) })
  const text = await answer.text()
  if (!answer.ok) throw new Error(z.object({ detail: z.string() }).parse(JSON.parse(text)).detail)
  return text
}

function table(job: z.output<typeof jobEnergy>): string {
  const rows = job.nodes.map((node) => [node.xname ?? '(unmapped)', ...cells(node)])
  const lines = alignColumns([
    ['node', 'energy', 'from', 'to', 'coverage', 'method', 'resets'],
    ...rows,
    [`${job.nodes_with_data} of ${job.nodes_expected}`, ...cells(job)],
  ])
  return `job ${job.job_id}\n${lines.join('\n')}`
}

function cells(part: z.output<typeof energy>): string[] {
  const { joules, joules_low, joules_high, coverage_ratio, method, resets } = part
  const coverage = `${(coverage_ratio * 100).toFixed(1)} %`
  const range = [joules, joules_low, joules_high].map(formatJoules)
  return [...range, coverage, method, String(resets)]
}

/** `312.4 kJ`; `unknown` where nothing was measured. */
export function formatJoules(joules: number | null): string {
  if (joules === null) return 'unknown'
  const [unit = 'J', size = 1] = units.find(([, least]) => joules >= least) ?? []
  return `${(joules / size).toFixed(size === 1 ? 0 : 1)} ${unit}`
}

const units: [unit: string, size: number][] = [
  ['GJ', 1e9],
  ['MJ', 1e6],
  ['kJ', 1e3],
]

/** Pads each column to its widest cell. */
export function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0))) ?? []
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}
