import assert from 'node:assert/strict'
import { type Chain, type JobAnswer, startChain } from '../support/chain.ts'
import { until } from '../support/command.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { requireProgram, startPrometheus, type TestPrometheus } from '../support/prometheus.ts'

/** Device -> exporter -> Prometheus -> remote write -> PostgreSQL -> joules, all parts real. */
describe('the chain through a real Prometheus', function realPrometheus() {
  this.timeout(300_000)
  let began: number
  let chain: Chain | undefined
  let prometheus: TestPrometheus | undefined

  before(async function bringUp() {
    const program = await requireProgram('prometheus', this)
    const { url } = await cloneDatabase()
    began = Date.now()
    chain = await startChain({ databaseUrl: url, historyHours: 4, fastSeconds: 1 })
    prometheus = await startPrometheus(program, {
      exporter: hostOf(chain.exporter),
      remoteWrite: hostOf(chain.remoteWrite),
      control: hostOf(chain.control),
      scrapeSeconds: 1,
      evaluationSeconds: 30,
    })
  })

  after(async () => {
    await prometheus?.close()
    await chain?.close()
  })

  const hostOf = ({ url }: { url: string }): string => new URL(url).host
  const seconds = ({ started_at, ended_at }: JobAnswer): number =>
    (Date.parse(ended_at) - Date.parse(started_at)) / 1000
  const near = (a: number, b: number, ratio: number): void =>
    assert.ok(Math.abs(a / b - 1) < ratio, `${a} J is not within ${ratio} of ${b} J`)

  /** The counters' increase over the job's time: right for a job with its nodes to itself. */
  async function promqlEnergy(job: JobAnswer, which: (window: string) => string): Promise<number> {
    const window = `[${seconds(job)}s]`
    const increase = `increase(cray_node_energy_joules_total${which(window)})`
    const result = await prometheus?.query(`sum(${increase})`, new Date(job.ended_at))
    return [...(result?.values() ?? [])][0] ?? Number.NaN
  }

  it('gives a job the same joules in SQL, in PromQL and in truth', async () => {
    assert.ok(chain)
    const { endedJobs, energyOf, truthOf } = chain
    const job = await until(async () => {
      const jobs = await endedJobs()
      return jobs.find(
        (found) =>
          found.partition !== 'shared' &&
          Date.parse(found.started_at) > began + 15_000 &&
          seconds(found) >= 60 &&
          found.energy.joules_high !== null,
      )
    }, 240)
    const [energy, truth] = [await energyOf(job), await truthOf(job)]
    near(energy.joules, truth, 0.02)
    const [low, high] = [energy.joules_low, energy.joules_high ?? Number.NaN]
    assert.ok(low <= truth && truth <= high, `truth ${truth} J is not in ${low} to ${high} J`)
    const nodes = `cray_job_node_info{jobid="${job.job_id}"}`
    const joined = (window: string) => `${window}) and on (xname) last_over_time(${nodes}${window}`
    near(await promqlEnergy(job, joined), energy.joules, 0.03)
  })

  it('answers PromQL over the stored past, from before Prometheus was there', async () => {
    assert.ok(chain)
    const { endedJobs, energyOf, truthOf } = chain
    const jobs = (await endedJobs()).filter(
      (job) =>
        job.partition !== 'shared' &&
        seconds(job) >= 600 &&
        Date.parse(job.ended_at) < began - 60_000,
    )
    assert.ok(jobs.length >= 3, `${jobs.length} jobs`)
    for (const job of jobs) {
      const energy = await energyOf(job)
      near(energy.joules, await truthOf(job), 0.02)
      const xnames = energy.nodes.map(({ xname }) => xname).join('|')
      const theirs = (window: string) => `{xname=~"${xnames}"}${window}`
      near(await promqlEnergy(job, theirs), energy.joules, 0.03)
    }
  })
})
