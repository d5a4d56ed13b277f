import fetch from 'node-fetch'
import { z } from 'zod'
import { alignColumns } from '../energy/print.ts'

const time = z.iso.datetime().pipe(z.coerce.date()).nullable()
const samples = z.object({
  bytes: z.number(),
  samples_about: z.number(),
  bytes_per_sample_about: z.number().nullable(),
})
const metricSize = z.object({ metric: z.string(), series: z.number(), bytes_about: z.number() })
const storageAnswer = z.object({
  bytes: z.record(z.string(), z.number()),
  bytes_total: z.number(),
  series: z.number(),
  live: samples,
  compacted: samples,
  bytes_per_sample_about: z.number().nullable(),
  compression_ratio_about: z.number().nullable(),
  samples_per_day_about: z.number(),
  oldest_sample_about: time,
  newest_sample_about: time,
  uncompacted_windows: z.number(),
  uncompacted_since: time,
  metrics: z.number(),
  top_by_series: z.array(metricSize),
  top_by_bytes: z.array(metricSize),
})
type Answer = z.output<typeof storageAnswer>

/**
 * What remote-write at `url` answers for the size of its record, as JSON or as tables for people.
 * @throws {Error} with remote-write's own words when it refuses, or its address when it is silent.
 */
export async function describeStorage(url: string, json: boolean): Promise<string> {
  const where = `${url.replace(/\/+$/, '')}/api/v1/storage`
  const body = await answerOf(where).catch((cause: unknown) => {
    throw new Error(`remote-write at ${url}`, { cause })
  })
  return json ? JSON.stringify(body, null, 2) : describe(storageAnswer.parse(body))
}

async function answerOf(url: string): Promise<unknown> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(60_000) })
  const text = await answer.text()
  if (answer.ok) return JSON.parse(text)
  const { detail } = z.object({ detail: z.string() }).catch({ detail: text }).parse(parse(text))
  throw new Error(`${answer.status}: ${detail}`)
}

/** The JSON, or undefined if it is none. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function describe(answer: Answer): string {
  const sizes = Object.entries(answer.bytes).map(([kind, size]) => [kind, formatBytes(size)])
  const parts = [
    alignColumns([['on disk', 'size'], ...sizes, ['in all', formatBytes(answer.bytes_total)]]),
    alignColumns(sampleRows(answer)),
    alignColumns(facts(answer)),
    alignColumns([['most series', 'series'], ...answer.top_by_series.map(seriesRow)]),
    alignColumns([['most bytes', 'about'], ...answer.top_by_bytes.map(bytesRow)]),
  ]
  return parts.map((lines) => lines.join('\n')).join('\n\n')
}

function sampleRows({ live, compacted, ...all }: Answer): string[][] {
  const whole = {
    bytes: all.bytes_total,
    samples_about: live.samples_about + compacted.samples_about,
    bytes_per_sample_about: all.bytes_per_sample_about,
  }
  const row = (name: string, part: z.output<typeof samples>) => [
    name,
    `about ${formatCount(part.samples_about)}`,
    part.bytes_per_sample_about === null ? '' : `${part.bytes_per_sample_about.toFixed(2)} B`,
  ]
  return [
    ['samples', 'number', 'each'],
    row('live', live),
    row('compacted', compacted),
    row('all tables', whole),
  ]
}

function facts(answer: Answer): string[][] {
  const ratio = answer.compression_ratio_about
  const windows = answer.uncompacted_windows
  const since = answer.uncompacted_since
  const waiting = `${windows} closed ${windows === 1 ? 'window' : 'windows'}`
  return [
    ['series', `${formatCount(answer.series)} of ${formatCount(answer.metrics)} metrics`],
    ['last day', `about ${formatCount(answer.samples_per_day_about)} samples`],
    [
      'compression',
      ratio === null ? 'unknown' : `about ${ratio.toFixed(1)} times smaller than 16 B a sample`,
    ],
    ['oldest sample', `about ${formatTime(answer.oldest_sample_about)}`],
    ['newest sample', `about ${formatTime(answer.newest_sample_about)}`],
    ['not compacted', since ? `${waiting} since ${formatTime(since)}` : waiting],
  ]
}

function seriesRow({ metric, series }: z.output<typeof metricSize>): string[] {
  return [metric, formatCount(series)]
}

function bytesRow({ metric, bytes_about }: z.output<typeof metricSize>): string[] {
  return [metric, formatBytes(bytes_about)]
}

function formatTime(time: Date | null): string {
  return time === null ? 'unknown' : time.toISOString().replace(/\.\d+Z$/, 'Z')
}

/** `1 234 567`. */
function formatCount(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ' ')
}

/** `1.2 GiB`. */
function formatBytes(bytes: number): string {
  const [unit = 'B', size = 1] = units.find(([, least]) => bytes >= least) ?? []
  return `${(bytes / size).toFixed(size === 1 ? 0 : 1)} ${unit}`
}

const units: [unit: string, size: number][] = [
  ['TiB', 2 ** 40],
  ['GiB', 2 ** 30],
  ['MiB', 2 ** 20],
  ['KiB', 2 ** 10],
]
