import assert from 'node:assert/strict'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fetch from 'node-fetch'
import type { Pool } from 'pg'
import { parse, stringify } from 'yaml'
import { prometheusConfig, ruleFiles } from '../../dashboards/prometheus.ts'
import { panelsOf } from '../../dashboards/source/alert-json.ts'
import { boards } from '../../dashboards/source/boards.ts'
import { answerPanel, isEmpty, type Sources } from '../support/board-answers.ts'
import { drawBoard } from '../support/board-picture.ts'
import { type Chain, chainControlToken, startChain } from '../support/chain.ts'
import { startChromium } from '../support/chromium.ts'
import { until } from '../support/command.ts'
import { freePort } from '../support/port.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { requireProgram, runPrometheus, type TestPrometheus } from '../support/prometheus.ts'

interface Rule {
  type: 'recording' | 'alerting'
  name: string
  query: string
  health: string
  lastError?: string
  state?: 'inactive' | 'pending' | 'firing'
}

/** What the simulated system lacks: supplies that tell their input. */
const notSimulated = ['supply:efficiency:ratio']

/** Samples come from a Prometheus here: the exporter's forwarder has nothing to do. */
const noForwarder = ['ForwardingLags']

describe('the rules in a real Prometheus', function realPrometheus() {
  this.timeout(300_000)
  let chain: Chain | undefined
  let pool: Pool
  let program: string
  let address: string
  let prometheus: TestPrometheus | undefined
  let directory: string | undefined

  before(async function bringUp() {
    program = await requireProgram('prometheus', this)
    directory = await mkdtemp(join(tmpdir(), 'joulebridge-rules-'))
    const database = await cloneDatabase()
    pool = database.pool
    chain = await startChain({ databaseUrl: database.url, historyHours: 1, fastSeconds: 1 })
    address = `127.0.0.1:${await freePort()}`
    prometheus = await runPrometheus(program, configFor(chain), { address })
  })

  after(async () => {
    await prometheus?.close()
    await chain?.close()
    if (directory) await rm(directory, { recursive: true })
  })

  function configFor({ exporter, remoteWrite, control }: Chain): string {
    const hostOf = (service: { url: string }): string => new URL(service.url).host
    return prometheusConfig({
      exporter: hostOf(exporter),
      remoteWrite: hostOf(remoteWrite),
      control: hostOf(control),
      scrapeSeconds: 1,
      evaluationSeconds: 1,
    })
  }

  /** Every rule, once the Prometheus there has evaluated all of them. */
  async function evaluated(at: string): Promise<Rule[]> {
    return await until(async () => {
      const answer = await fetch(`http://${at}/api/v1/rules`)
      const { data } = (await answer.json()) as { data: { groups: { rules: Rule[] }[] } }
      const rules = data.groups.flatMap((group) => group.rules)
      return rules.every(({ health }) => health !== 'unknown') ? rules : undefined
    }, 60)
  }

  /** Names of alerts that are pending or firing. */
  async function loudAlerts(at: string): Promise<Set<string>> {
    const loud = (await evaluated(at)).filter(
      ({ type, state }) => type === 'alerting' && state !== 'inactive',
    )
    return new Set(loud.map(({ name }) => name))
  }

  /** Waits until `look` finds nothing that is missing any more. */
  async function untilNone(look: () => Promise<string[]>, seconds: number): Promise<void> {
    let last: string[] = []
    const none = async () => {
      last = await look()
      return last.length === 0 ? true : undefined
    }
    await until(none, seconds, () => `missing: ${last.join(', ')}`)
  }

  it('are evaluated without an error', async () => {
    const faults = (await evaluated(address)).filter(({ health }) => health !== 'ok')
    assert.deepEqual(faults, [])
  })

  it('record something of the simulated system, each of them', async () => {
    const rules = await evaluated(address)
    const wanted = new Set(rules.filter(({ type }) => type === 'recording').map(({ name }) => name))
    assert.ok(wanted.size > 60, `${wanted.size} recording rules`)
    await untilNone(async () => {
      const all = 'count by (__name__) ({__name__=~".+:.+"})'
      const recorded = await prometheus?.query(all, new Date())
      const found = new Set([...(recorded?.keys() ?? [])].map((key) => JSON.parse(key).__name__))
      return [...wanted].filter((name) => !found.has(name) && !notSimulated.includes(name))
    }, 120)
  })

  it('leave a healthy system in peace', async () => {
    assert.deepEqual([...(await loudAlerts(address))], [])
  })

  it('and the record answer every panel of the dashboards', async () => {
    assert.ok(chain && prometheus)
    await switchNode(chain.control.url)
    const sources = await boardSources(prometheus.url, pool)
    const empty: string[] = []
    for (const board of boards) {
      for (const panel of panelsOf(board)) {
        const answers = await answerPanel(board, panel, sources)
        if (answers.some(isEmpty)) empty.push(`${board.title}: ${panel.title}`)
      }
    }
    // A healthy blade that obeys has nothing to show here.
    assert.deepEqual(empty, [
      'Cabinet: What is not well',
      'Node: Power and its limit',
      'Node: By part',
      'Node: Supplies',
      'Node: Intake',
      'Power control: Errors of devices',
      'Power control: How requests for limits ended',
    ])
  })

  it('draw every dashboard; PICTURES=folder keeps them', async function draw() {
    assert.ok(prometheus)
    const browser = await startChromium(this)
    try {
      const sources = await boardSources(prometheus.url, pool)
      for (const board of boards) {
        const { charts, picture } = await drawBoard(browser, board, sources)
        const series = panelsOf(board).filter(({ kind }) => kind === 'series')
        const shown = series.filter(({ mayBeEmpty }) => mayBeEmpty === undefined)
        assert.ok(charts >= shown.length, `${board.title}: ${charts} charts`)
        const folder = process.env['PICTURES']
        if (folder) await writeFile(join(folder, `${board.uid}.png`), picture)
      }
    } finally {
      await browser.close()
    }
  })

  it('see the simulated system, each alert that has a limit', async () => {
    assert.ok(chain && directory)
    await breakLimits(directory)
    const config = parse(configFor(chain))
    config.rule_files = [join(directory, '*.yml')]
    delete config.remote_write
    delete config.remote_read
    const there = `127.0.0.1:${await freePort()}`
    const other = await runPrometheus(program, stringify(config), { address: there })
    try {
      const limited = (await evaluated(there)).filter(
        ({ type, query }) => type === 'alerting' && /site:/.test(query),
      )
      const wanted = new Set(limited.map(({ name }) => name))
      wanted.delete('SiteLimitMissing')
      assert.ok(wanted.size > 20, `${wanted.size} alerts with a limit`)
      await untilNone(async () => {
        const loud = await loudAlerts(there)
        return [...wanted].filter((name) => !loud.has(name) && !noForwarder.includes(name))
      }, 120)
    } finally {
      await other.close()
    }
  })

  it('tell that the exporter has gone, and that its devices have', async () => {
    await chain?.exporter.close()
    const wanted = ['ServiceDown', 'TelemetryAbsent', 'DeviceForgotten']
    await untilNone(async () => {
      const loud = await loudAlerts(address)
      return wanted.filter((name) => !loud.has(name))
    }, 90)
  })
})

/** Restarts a node through power control, so that there is a transition to look at. */
async function switchNode(controlUrl: string): Promise<void> {
  const component = { xname: 'x1000c0s7b0n1' }
  const body = JSON.stringify({
    operation: 'Hard-Restart',
    location: [component],
    allowRunningJobs: true,
  })
  const authorization = `Bearer ${chainControlToken}`
  const headers = { authorization, 'content-type': 'application/json' }
  const answer = await fetch(`${controlUrl}/transitions`, { method: 'POST', headers, body })
  const { transitionID } = (await answer.json()) as { transitionID: string }
  await until(async () => {
    const now = await fetch(`${controlUrl}/transitions/${transitionID}`, { headers })
    const { transitionStatus } = (await now.json()) as { transitionStatus: string }
    return transitionStatus === 'completed' ? true : undefined
  }, 60)
}

/** A running job and its first node, over the last minutes. */
async function boardSources(prometheusUrl: string, pool: Pool): Promise<Sources> {
  const { rows } = await pool.query(
    `select j.job_id, a.xname from job j join allocation a on a.run = j.id
     where j.ended_at is null and a.xname ~ '^x1000' order by j.started_at, a.xname limit 1`,
  )
  const { job_id, xname } = rows[0]
  const to = new Date()
  const all = { cabinet: '.+', pdu: '.+', account: '.+' }
  return {
    prometheusUrl,
    pool,
    from: new Date(to.getTime() - 600_000),
    to,
    stepSeconds: 5,
    scrapeSeconds: 1,
    variables: { ...all, xname, jobid: String(job_id) },
  }
}

/** Copies the rules, with limits that no system keeps to, and with budgets. */
async function breakLimits(directory: string): Promise<void> {
  await cp(dirname(ruleFiles), directory, { recursive: true })
  const file = join(directory, 'site.yml')
  const site = parse(await readFile(file, 'utf8'))
  const { rules } = site.groups[0] as { rules: { record: string; expr: unknown }[] }
  for (const rule of rules) {
    if (!rule.record.startsWith('site:')) continue
    const isLeast = /(volts|pascals|coverage_ratio):min$|:(low|lost)$|margin/.test(rule.record)
    rule.expr = isLeast ? '1e9' : '-1'
  }
  const budgets = [
    { record: 'site:system_power_watts:budget', expr: '-1' },
    { record: 'site:system_power_ramp_watts:limit', expr: '-1' },
    { record: 'site:cabinet_power_watts:budget', expr: '-1', labels: { cabinet: 'x1000' } },
  ]
  await writeFile(
    file,
    stringify({ groups: [{ ...site.groups[0], rules: [...rules, ...budgets] }] }),
  )
}
