import { setTimeout as sleep } from 'node:timers/promises'
import { schedule } from 'node-cron'
import type { Pool } from 'pg'
import { Registry } from 'prom-client'
import { listen, registerProcessMetrics, type Service } from '../exporter/service/http.ts'
import type { Logger } from '../exporter/service/log.ts'
import { remoteWriteApp } from './app.ts'
import { FrameWriter } from './frames.ts'
import { registerJobMetrics } from './jobs/metrics.ts'
import { loadTopology } from './jobs/topology.ts'
import { registerMetrics } from './metrics.ts'
import { Partitions } from './partitions.ts'
import { migrate } from './postgres/migrate.ts'
import {
  connectionUrl,
  createPool,
  createWriterPool,
  databasePlace,
  type PostgresSettings,
} from './postgres/pool.ts'
import { isUnreachable } from './postgres/sqlstate.ts'
import { SeriesIndex } from './series.ts'
import { loadSeries } from './series-ids.ts'
import type { RemoteWriteSettings } from './settings.ts'
import { createReceiver } from './write.ts'

interface Context {
  log: Logger
  env: NodeJS.ProcessEnv
}

/**
 * Waits for the database, migrates it, loads the series and listens. `close` takes no more
 * requests, commits what was taken in, and ends the connections.
 * @throws {Error} when the database refuses us, or its schema is not ours, or the address is taken.
 */
export async function startRemoteWrite(
  settings: RemoteWriteSettings,
  context: Context,
): Promise<Service> {
  await migrateWhenReachable(settings.postgres, context)
  const pool = await createPool(settings.postgres, context)
  const writerPool = await createWriterPool(settings.postgres, context)
  try {
    return await serve(settings, { ...context, pool, writerPool })
  } catch (error) {
    await Promise.all([pool.end(), writerPool.end()])
    throw error
  }
}

async function migrateWhenReachable(
  settings: PostgresSettings,
  { log, env }: Context,
): Promise<void> {
  const database = databasePlace(settings)
  const url = await connectionUrl(settings, env)
  for (let attempts = 1; ; attempts++) {
    try {
      return await migrate(url)
    } catch (cause) {
      if (!isUnreachable(cause)) throw new Error(`database ${database}`, { cause })
      log.warn({ error: cause, database, attempts }, 'database not reachable yet')
    }
    await sleep(Math.min(250 * 2 ** attempts, longestWaitMs))
  }
}

const longestWaitMs = 10_000

async function serve(
  settings: RemoteWriteSettings,
  { log, pool, writerPool }: Context & { pool: Pool; writerPool: Pool },
): Promise<Service> {
  const registry = new Registry()
  registerProcessMetrics(registry)
  const { limits, targetLabels } = settings
  const { openSamples } = limits
  const index = new SeriesIndex()
  const partitions = new Partitions()
  const metrics = registerMetrics(registry, {
    openSamples: () => writer.openSamples,
    series: () => index.size,
  })
  const { maxGapSeconds } = settings.energy
  const now = () => new Date()
  const jobMetrics = registerJobMetrics(registry, pool, { log, maxGapSeconds, now })
  const writer = new FrameWriter({
    pool: writerPool,
    index,
    partitions,
    metrics,
    log,
    targetLabels,
    openSamples,
  })
  if (settings.topologyFile !== undefined) await loadTopology(pool, settings.topologyFile)
  await loadSeries(pool, index)
  await partitions.ensureAhead(pool, new Date())
  const receive = createReceiver({ pool, index, writer, metrics, limits })
  const app = remoteWriteApp({ receive, pool, metrics, jobMetrics, registry, log, settings })
  const web = await listen(app, settings.web.listenAddress)
  const hourly = schedule('0 * * * *', () => makePartitions(partitions, pool, log))
  return {
    url: web.url,
    async close() {
      await hourly.destroy()
      await web.close()
      await writer.close()
      await Promise.all([pool.end(), writerPool.end()])
    },
  }
}

/** A failure does no harm: the next hour, or the first sample without a partition, tries again. */
async function makePartitions(partitions: Partitions, pool: Pool, log: Logger): Promise<void> {
  await partitions.ensureAhead(pool, new Date()).catch((error: unknown) => {
    log.warn({ error }, 'partitions not made ahead')
  })
}
