import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import fetch from 'node-fetch'
import pLimit from 'p-limit'
import { migrate } from '../../remote-write/postgres/migrate.ts'
import { type HostileBody, hostileBodies } from '../support/hostile-bodies.ts'
import { RecordProcess } from '../support/record-process.ts'
import { post } from '../support/remote-write.ts'
import { startServer } from '../support/server.ts'

export const name = 'fuzz'
export const title = '100,000 hostile bodies to the receiver: 204 or 4xx, no growth, no crash'

const cases = 100_000
const perBatch = 2000
const seriesLimit = 10_000

/**
 * How many were answered with which status; the slowest answer; and how much memory the receiver
 * took from the tenth part of the bodies to the last. The seed is among the figures.
 * @throws {Error} at the first answer that is neither 204, 400 nor 413, with seed and batch.
 */
export async function run(): Promise<Record<string, number>> {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1e6)
  const server = await startServer()
  try {
    await migrate(server.url)
    const record = await RecordProcess.load({
      databaseUrl: server.url,
      limits: { series: seriesLimit },
    })
    await record.start()
    try {
      return { ...(await fuzz(record, seed)), seed }
    } finally {
      await record.close()
    }
  } finally {
    await server.close()
  }
}

async function fuzz(record: RecordProcess, seed: number): Promise<Record<string, number>> {
  const counts = new Map<number, number>()
  const arbitrary = hostileBodies(Date.now())
  const limit = pLimit(16)
  let slowestMs = 0
  let early = 0
  for (let batch = 0; batch * perBatch < cases; batch++) {
    const bodies = fc.sample(arbitrary, { seed: seed + batch, numRuns: perBatch })
    const send = async (body: HostileBody) => {
      const began = performance.now()
      const status = await statusOf(record, body)
      slowestMs = Math.max(slowestMs, performance.now() - began)
      assert.ok([204, 400, 413].includes(status), `status ${status}: seed ${seed}, batch ${batch}`)
      counts.set(status, (counts.get(status) ?? 0) + 1)
    }
    await Promise.all(bodies.map((body) => limit(() => send(body))))
    if (batch * perBatch <= cases / 10) early = await residentBytes(record)
  }
  return {
    cases,
    taken_204: counts.get(204) ?? 0,
    refused_400: counts.get(400) ?? 0,
    refused_413: counts.get(413) ?? 0,
    series: await knownSeries(record),
    series_limit: seriesLimit,
    slowest_answer_milliseconds: slowestMs,
    grown_bytes: (await residentBytes(record)) - early,
  }
}

async function statusOf(record: RecordProcess, { version, body }: HostileBody): Promise<number> {
  const service = { url: record.url, close: async () => {} }
  const v2 = 'application/x-protobuf;proto=io.prometheus.write.v2.Request'
  const answer = await post(service, body, version === '2.0' ? { 'content-type': v2 } : {})
  await answer.arrayBuffer()
  return answer.status
}

async function knownSeries(record: RecordProcess): Promise<number> {
  const text = await (await fetch(`${record.url}/metrics`)).text()
  return Number(/^joulebridge_series (\d+)$/m.exec(text)?.[1])
}

async function residentBytes({ pid }: RecordProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
}
