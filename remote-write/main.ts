import { setTimeout as sleep } from 'node:timers/promises'
import { schedule } from 'node-cron'
import type { Pool } from 'pg'
import { Registry } from 'prom-client'
import { listen, registerProcessMetrics, type Service } from '../exporter/service/http.ts'
import type { Logger } from '../exporter/service/log.ts'
import { remoteWriteApp } from './app.ts'
import { FrameWriter } from './frames.ts'
import { EdgeReader } from './jobs/edges.ts'
import { followHsm } from './jobs/hsm.ts'
import { JobLabels } from './jobs/labels.ts'
import { registerJobMetrics } from './jobs/metrics.ts'
import { loadTopology } from './jobs/topology.ts'
import { registerMetrics } from './metrics.ts'
import { Partitions } from './partitions.ts'
import { migrate } from './postgres/migrate.ts'
import { connectionUrl, createPool, createWriterPool, databasePlace } from './postgres/pool.ts'
import { isUnreachable } from './postgres/sqlstate.ts'
import { startUpkeep } from './segments/upkeep.ts'
import { SeriesIndex } from './series.ts'
import { loadSeries } from './series-ids.ts'
import type { RemoteWriteSettings } from './settings.ts'
import { registerStorageMetrics, StorageCache } from './storage/metrics.ts'
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
  const { log, env } = context
  const database = databasePlace(settings.postgres)
  const url = await connectionUrl(settings.postgres, env)
  const warn = (warning: string) => log.warn({ database, warning }, 'database warns')
  await whenReachable(database, log, () => migrate(url, warn))
  const pool = await createPool(settings.postgres, context)
  const writerPool = await createWriterPool(settings.postgres, context)
  try {
    const loaded = await whenReachable(database, log, () => load(settings, pool))
    return await serve(settings, { ...context, ...loaded, pool, writerPool })
  } catch (error) {
    await Promise.all([pool.end(), writerPool.end()])
    throw error
  }
}

/** Does the work, again and again while there is no connection to the database. */
async function whenReachable<T>(database: string, log: Logger, work: () => Promise<T>): Promise<T> {
  for (let attempts = 1; ; attempts++) {
    try {
      return await work()
    } catch (cause) {
      if (!isUnreachable(cause)) throw new Error(`database ${database}`, { cause })
      log.warn({ error: cause, database, attempts }, 'database not reachable yet')
    }
    await sleep(Math.min(250 * 2 ** attempts, longestWaitMs))
  }
}

const longestWaitMs = 10_000

interface Loaded {
  index: SeriesIndex
  partitions: Partitions
}

async function load({ topologyFile }: RemoteWriteSettings, pool: Pool): Promise<Loaded> {
  if (topologyFile !== undefined) await loadTopology(pool, topologyFile)
  const index = new SeriesIndex()
  await loadSeries(pool, index)
  const partitions = new Partitions()
  await partitions.ensureAhead(pool, new Date())
  return { index, partitions }
}

async function serve(
  settings: RemoteWriteSettings,
  {
    log,
    env,
    pool,
    writerPool,
    index,
    partitions,
  }: Context & Loaded & { pool: Pool; writerPool: Pool },
): Promise<Service> {
  const registry = new Registry()
  registerProcessMetrics(registry)
  const { limits, targetLabels } = settings
  const { openSamples } = limits
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
    maxSeries: limits.series,
    openSamples,
    lateSeconds: settings.compaction.delaySeconds / 2,
    now,
  })
  const jobLabels = new JobLabels({
    ...{ pool, index, metrics: jobMetrics, log, now },
    settings: settings.jobLabels,
  })
  const receive = createReceiver({ pool, index, writer, metrics, limits, jobLabels })
  const storage = new StorageCache({ pool, log, now })
  registerStorageMetrics(registry, storage)
  const { exporters } = settings
  const edges = new EdgeReader({
    ...{ pool, exporters, env, log, now },
    nodes: jobMetrics.edgeNodes,
  })
  const shown = { jobMetrics, registry, storage, edges, env }
  const app = remoteWriteApp({ receive, pool, metrics, log, settings, ...shown })
  const web = await listen(app, settings.web.listenAddress)
  const upkeep = startUpkeep({ pool, partitions, registry, log, settings })
  jobLabels.start()
  const { topologyHsm } = settings
  const hsm = topologyHsm && followHsm({ settings: topologyHsm, pool, env, log })
  const hourly = schedule('0 * * * *', () => makePartitions(partitions, pool, log))
  return {
    url: web.url,
    async close() {
      await hourly.destroy()
      await upkeep.close()
      await web.close()
      await edges.close()
      await hsm?.close()
      await writer.close()
      await jobLabels.close()
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
