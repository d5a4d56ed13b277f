import { setTimeout as sleep } from 'node:timers/promises'
import { startSender } from '../support/sender.ts'
import { startServer } from '../support/server.ts'
import { quantile } from './figures.ts'
import { type Receiver, startRecordProcess } from './receivers.ts'
import { type Load, Requests } from './requests.ts'

export const name = 'paced'
export const title = '600,000 series every 10 s: CPU, latency, memory and restart'

export const goals = [
  { key: 'cores', most: 0.2, words: '600,000 series every 10 s: cores in total' },
  { key: 'p99_ms', most: 50, words: '600,000 series every 10 s: p99, ms' },
  { key: 'resident_megabytes', most: 512, words: '600,000 series: resident memory, MB' },
  { key: 'restart_seconds', most: 10, words: '600,000 series: restart to ready, s' },
]

const series = 600_000
const stepSeconds = 10
const steps = 6
/** 300 requests a step, evenly. */
const requestsPerSecond = series / 2000 / stepSeconds

/** CPU of the service and of all of PostgreSQL's processes, after all series have been met. */
export async function run(): Promise<Record<string, number>> {
  const server = await startServer({ durable: true })
  try {
    const first = await startRecordProcess(server)
    const figures = await pace(first).finally(() => first.close())
    const second = await startRecordProcess(server)
    const restart = {
      restart_seconds: second.startSeconds,
      restart_resident_megabytes: await second.residentMegabytes(),
    }
    await second.close()
    return { ...figures, ...restart }
  } finally {
    await server.close()
  }
}

async function pace({ url, cpuSeconds, residentMegabytes }: Receiver) {
  const sender = startSender()
  try {
    const requests = new Requests({ series, perTarget: 40 })
    const now = Date.now()
    const load = (step: number): Load => requests.load([now + step * stepSeconds * 1000])
    await sender.load(load(0).bodies)
    const { seconds: firstSeconds } = await sender.run(url, { inFlight: 8 })
    const timed = Array.from({ length: steps }, (_, step) => load(step + 1).bodies)
    await sender.load(timed.flat())
    await sleep(1000)
    const before = await cpuSeconds()
    const { seconds, latenciesMs } = await sender.run(url, { inFlight: 8, requestsPerSecond })
    const cpu = (await cpuSeconds()) - before
    return {
      cores: cpu / seconds,
      p99_ms: quantile(latenciesMs, 0.99),
      resident_megabytes: await residentMegabytes(),
      p50_ms: quantile(latenciesMs, 0.5),
      worst_ms: quantile(latenciesMs, 1),
      cpu_seconds_per_million: (cpu / (steps * series)) * 1e6,
      new_series_per_second: series / firstSeconds,
    }
  } finally {
    sender.close()
  }
}
