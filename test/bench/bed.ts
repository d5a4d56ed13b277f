import pg from 'pg'
import { type Sender, startSender } from '../support/sender.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { quantile } from './figures.ts'
import { type Receiver, startRecordProcess } from './receivers.ts'
import { contentTypes, type Load } from './requests.ts'
import { Copies } from './rows.ts'

/** What benches of the write path need: everything in processes of its own, on one machine. */
export interface Bed {
  /** Ours. */
  record: Receiver
  sender: Sender
  /** On the record's PostgreSQL, which syncs to disk. */
  client: pg.Client
  copies: Copies
}

export async function withBed<T>(work: (bed: Bed) => Promise<T>): Promise<T> {
  const server = await startServer({ durable: true })
  try {
    const record = await startRecordProcess(server)
    try {
      return await withClient(server, record, work)
    } finally {
      await record.close()
    }
  } finally {
    await server.close()
  }
}

async function withClient<T>(
  server: TestServer,
  record: Receiver,
  work: (bed: Bed) => Promise<T>,
): Promise<T> {
  const sender = startSender()
  const client = new pg.Client({ connectionString: server.url })
  await client.connect()
  try {
    const copies = await Copies.make(client, server.directory)
    return await work({ record, sender, client, copies })
  } finally {
    sender.close()
    await client.end()
  }
}

/** What a receiver did with some requests. */
export interface Measured {
  samplesPerSecond: number
  cpuSecondsPerMillion: number
  p50Ms: number
  p99Ms: number
}

/** Requests that wait for their answers, as eight shards of a Prometheus send them. */
export const inFlight = 8

/** Sends all requests of the load. */
export async function receive(
  { url, cpuSeconds }: Receiver,
  sender: Sender,
  { bodies, samples, version }: Load,
): Promise<Measured> {
  await sender.load(bodies)
  const before = await cpuSeconds()
  const contentType = contentTypes[version]
  const { seconds, latenciesMs } = await sender.run(url, { inFlight, contentType })
  const cpu = (await cpuSeconds()) - before
  return {
    samplesPerSecond: samples / seconds,
    cpuSecondsPerMillion: (cpu / samples) * 1e6,
    p50Ms: quantile(latenciesMs, 0.5),
    p99Ms: quantile(latenciesMs, 0.99),
  }
}
