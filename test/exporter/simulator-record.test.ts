import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { listen, type Service } from '../../exporter/service/http.ts'
import { until } from '../support/command.ts'
import { type Sample, startTestExporter } from '../support/exporter.ts'
import { simulatorLogin, startTestSimulator, type TestSimulator } from '../support/simulator.ts'
import { decodeBody, type ReceivedSeries } from '../support/write-request.ts'

interface JobEvent {
  type: 'start' | 'end'
  job_id: number
  time: string
  nodelist?: string
  cpus_per_node?: string
  state?: string
}

/** A stand-in for remote-write: keeps what it accepts. */
interface Receiver {
  service: Service
  writes: ReceivedSeries[][]
  events: JobEvent[]
  /** The next answers to job events; then 200. */
  refusals: number[]
}

async function startReceiver(): Promise<Receiver> {
  const kept: Omit<Receiver, 'service'> = { writes: [], events: [], refusals: [] }
  const service = await listen(async (request, response) => {
    const body = await bodyOf(request)
    if (request.url === '/api/v1/write') kept.writes.push(await decodeBody(body))
    if (request.url === '/api/v1/jobs/events') {
      response.statusCode = kept.refusals.shift() ?? 200
      if (response.statusCode === 200) kept.events.push(...JSON.parse(body.toString()).events)
    }
    response.end('{}')
  }, '127.0.0.1:0')
  return Object.assign(kept, { service })
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks)
}

describe('the record of a simulated past', () => {
  let receiver: Receiver
  let simulator: TestSimulator

  beforeEach(async () => {
    receiver = await startReceiver()
  })

  afterEach(async () => {
    await simulator.end()
    await receiver.service.close()
  })

  const start = async (more: Parameters<typeof startTestSimulator>[0] = {}) => {
    const remoteWriteUrl = receiver.service.url
    simulator = await startTestSimulator({ remoteWriteUrl, historyHours: 0.5, ...more })
  }
  const progress = async () =>
    (await simulator.page('/history')) as { state: string; sent_samples: number; fraction: number }
  const filled = async () => {
    await until(async () => ((await progress()).state === 'done' ? true : undefined), 30)
    return await progress()
  }
  const endedJobs = async () => (await simulator.page('/truth/jobs?limit=10000')) as JobTruth[]
  const allTold = async () => {
    const jobs = await endedJobs()
    const told = () => receiver.events.filter(({ type }) => type === 'end').length >= jobs.length
    await until(() => (told() ? true : undefined), 20)
    return jobs
  }

  it('holds power and energy each 10 s, all of an instant in one request', async () => {
    await start()
    const { sent_samples, fraction } = await filled()
    assert.equal(fraction, 1)
    const samples = receiver.writes.flat().reduce((sum, { samples }) => sum + samples.length, 0)
    assert.equal(samples, sent_samples)
    const instants = receiver.writes.map(
      (write) => new Set(write.flatMap((one) => one.samples.map(({ timestamp }) => timestamp))),
    )
    const all = instants.flatMap((some) => [...some]).sort((a, b) => a - b)
    assert.equal(new Set(all).size, all.length)
    assert.equal(all.length, 180)
    assert.ok(all.every((at, index) => index === 0 || at - (all[index - 1] ?? 0) === 10_000))
  })

  it('has the same series as a scrape of the devices', async () => {
    await start()
    await filled()
    const kinds = ['x1000c0b0', 'x1000c0s0b0', 'x1000c0s4b0', 'x1000c0r1b0', 'x3000m0']
    const devices = [...kinds, 'x3000c0s17b0', 'x3000c0s19b0'].map((xname) => ({
      xname,
      server: { url: simulator.deviceUrl(xname), certificate: simulator.certificate },
    }))
    const exporter = await startTestExporter({ devices, password: simulatorLogin.password })
    try {
      const scrape = await exporter.scrapeUntil((samples) =>
        devices.every(({ xname }) => isComplete(samples, xname)),
      )
      const sent = new Set(receiver.writes.flat().map(({ labels }) => textOf(labels)))
      const target = { job: 'joulebridge', instance: 'exporter' }
      const live = scrape.filter(({ name }) => /^cray_(?!device_)/.test(name))
      assert.ok(live.length > 400)
      const missing = live
        .map(({ name, labels }) => textOf(Object.entries({ __name__: name, ...labels, ...target })))
        .filter((text) => !sent.has(text))
      assert.deepEqual(missing, [])
    } finally {
      await exporter.close()
    }
  })

  it('tells of every job, after refusals too, and goes on live', async () => {
    receiver.refusals.push(503, 500)
    await start({ historyHours: 2 })
    const jobs = await allTold()
    assert.deepEqual(endsOf(receiver.events), new Set(jobs.map(({ job_id }) => job_id)))
    const before = receiver.events.length
    simulator.moveSeconds(150)
    await until(() => (receiver.events.length > before ? true : undefined), 20)
    const more = await allTold()
    assert.ok(more.length > jobs.length)
    const times = receiver.events.map(({ time }) => time)
    assert.deepEqual(times, [...times].sort())
  })

  it('names the nodes and cores of a job as Slurm does', async () => {
    await start({ historyHours: 2 })
    await allTold()
    const starts = receiver.events.filter(({ type }) => type === 'start')
    assert.ok(
      starts.every(({ nodelist }) => /^nid(\d{6}|\[\d{6}([-,]\d{6})+\])$/.test(nodelist ?? '')),
    )
    const shared = starts.find(({ nodelist }) => nodelist === 'nid000011')
    assert.ok(Number(shared?.cpus_per_node) < 128)
    assert.ok(starts.some(({ cpus_per_node }) => cpus_per_node === '128(x2)'))
  })

  it('goes on where it ended when the simulator comes back', async () => {
    await start()
    await filled()
    await allTold()
    await simulator.close()
    const { directory, clock } = simulator
    const last = Math.max(...timesOf(receiver))
    const told = endsOf(receiver.events)
    Object.assign(receiver, { writes: [], events: [] })
    await start({ directory, now: new Date(clock.now.getTime() + 900_000) })
    await filled()
    await allTold2(told)
    const times = timesOf(receiver)
    assert.equal(Math.min(...times), last + 10_000)
    assert.equal(Math.max(...times), last + 900_000)
    assert.ok([...endsOf(receiver.events)].every((id) => !told.has(id)))
  })

  const allTold2 = async (earlier: ReadonlySet<number>) => {
    const jobs = await endedJobs()
    const told = () => endsOf(receiver.events).size >= jobs.length - earlier.size
    await until(() => (told() ? true : undefined), 20)
  }
})

interface JobTruth {
  job_id: number
}

function endsOf(events: readonly JobEvent[]): Set<number> {
  return new Set(events.filter(({ type }) => type === 'end').map(({ job_id }) => job_id))
}

function timesOf({ writes }: Receiver): number[] {
  return writes.flat().flatMap(({ samples }) => samples.map(({ timestamp }) => timestamp))
}

function textOf(labels: readonly (readonly [string, string])[]): string {
  return JSON.stringify([...labels].sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Both paces of a device have been polled: something of each is there. */
function isComplete(samples: readonly Sample[], xname: string): boolean {
  const own = samples.filter(({ labels }) => labels['bmc'] === xname)
  const fast = own.some(({ name }) => /power_watts$/.test(name))
  const slow = own.some(({ name }) => /temperature_celsius$/.test(name))
  return fast && slow
}
