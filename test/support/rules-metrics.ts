import pg from 'pg'
import { Registry } from 'prom-client'
import { capMetrics, registerControlMetrics, registerWorkMetrics } from '../../control/metrics.ts'
import { metrics } from '../../exporter/metrics.ts'
import { createLog } from '../../exporter/service/log.ts'
import { startForwarder } from '../../exporter/telemetry/forwarder.ts'
import { registerJobMetrics } from '../../remote-write/jobs/metrics.ts'
import { registerMetrics } from '../../remote-write/metrics.ts'
import { registerUpkeepMetrics } from '../../remote-write/segments/metrics.ts'
import { registerStorageMetrics, StorageCache } from '../../remote-write/storage/metrics.ts'

/** Names of all metrics that the three services show, and what histograms make of theirs. */
export async function shownMetrics(): Promise<Set<string>> {
  const registry = new Registry()
  const log = createLog('test', { level: 'silent', format: 'json' })
  const pool = new pg.Pool()
  registerMetrics(registry, { openSamples: () => 0, series: () => 0 })
  registerJobMetrics(registry, pool, { log, maxGapSeconds: 300, now: () => new Date() })
  registerUpkeepMetrics(registry)
  registerStorageMetrics(registry, new StorageCache({ pool, log, now: () => new Date() }))
  registerControlMetrics(registry, async () => 0)
  registerWorkMetrics(registry, capMetrics, async () => 0)
  const forwarder = startForwarder({
    url: 'http://127.0.0.1:9/',
    mostWaitingBytes: 1e6,
    intervalSeconds: 3600,
    targetLabels: {},
    readings: () => [],
    registry,
    log,
  })
  await forwarder.close()
  const own = registry.getMetricsAsArray().flatMap(({ name, type }) => {
    const isHistogram = String(type) === 'histogram'
    return isHistogram ? ['_bucket', '_count', '_sum'].map((suffix) => name + suffix) : [name]
  })
  await pool.end()
  return new Set([...metrics.map(({ name }) => name), ...own])
}

const keywords = new Set('and or unless bool offset start end inf nan'.split(' '))
const grouping = new Set('by without on ignoring group_left group_right'.split(' '))

/**
 * The names of the metrics that a PromQL expression selects, also those in `{__name__="..."}`:
 * identifiers that are no keyword, no function, no label in a grouping and not within braces.
 */
export function selectedMetrics(expression: string): string[] {
  const named = [...expression.matchAll(/__name__\s*=\s*"([^"]*)"/g)].map(([, name]) => name ?? '')
  const bare = expression
    .replace(/#.*$/gm, ' ')
    .replace(/"(?:[^"\\]|\\.)*"/g, '""')
    .replace(/\{[^}]*\}/g, ' {} ')
    .replace(/\[[^\]]*\]/g, ' ')
  const tokens = [...bare.matchAll(/[a-z_:][\w:]*|[\d.]+\w*|\S/gi)].map(([token]) => token)
  const found = new Set(named)
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at] ?? ''
    if (grouping.has(token.toLowerCase())) {
      if (tokens[at + 1] === '(') at = tokens.indexOf(')', at)
    } else if (/^[a-z_:]/i.test(token) && !keywords.has(token.toLowerCase())) {
      const next = tokens[at + 1]?.toLowerCase() ?? ''
      if (next !== '(' && next !== 'by' && next !== 'without') found.add(token)
    }
  }
  return [...found]
}
