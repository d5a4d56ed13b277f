import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fetch from 'node-fetch'
import type { Pool } from 'pg'
import { parse, stringify } from 'yaml'
import { prometheusConfig, ruleFiles } from '../../dashboards/prometheus.ts'
import { panelsOf } from '../../dashboards/source/alert-json.ts'
import type { Panel } from '../../dashboards/source/board.ts'
import { boards } from '../../dashboards/source/boards.ts'
import { expectNothingSerious } from '../support/axe.ts'
import { type Answer, answerPanel, isEmpty, type Sources } from '../support/board-answers.ts'
import { type Drawn, drawBoard } from '../support/board-picture.ts'
import { type Chain, chainControlToken, startChain } from '../support/chain.ts'
import { startChromium } from '../support/chromium.ts'
import { until } from '../support/command.ts'
import { freePort } from '../support/port.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { requireProgram, runPrometheus, type TestPrometheus } from '../support/prometheus.ts'

interface Config {
  remote_write?: unknown
  remote_read?: unknown
}

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

const pictures = process.env['PICTURES']

describe('the rules in a real Prometheus', function realPrometheus() {
  this.timeout(300_000)
  let chain: Chain | undefined
  let pool: Pool
  let program: string
  let address: string
  /** Of another Prometheus, whose limits no system keeps to. */
  let brokenAddress: string
  let prometheus: TestPrometheus | undefined
  let broken: TestPrometheus | undefined
  let directory: string | undefined
  let drawn: Drawn | undefined
  let startedMs: number

  before(async function bringUp() {
    program = await requireProgram('prometheus', this)
    directory = await mkdtemp(join(tmpdir(), 'joulebridge-rules-'))
    const database = await cloneDatabase()
    pool = database.pool
    ;[address, brokenAddress] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`]
    chain = await startChain({
      ...{ databaseUrl: database.url, historyHours: 1, fastSeconds: 1 },
      alertsUrl: `http://${brokenAddress}`,
    })
    await copyRules(directory, (file) => file)
    const config = stringify(configFor(chain, directory))
    startedMs = Date.now()
    prometheus = await runPrometheus(program, config, { address })
  })

  after(async () => {
    await broken?.close()
    await prometheus?.close()
    await chain?.close()
    if (directory) await rm(directory, { recursive: true })
  })

  function configFor({ exporter, remoteWrite, control }: Chain, rules: string): Config {
    const hostOf = (service: { url: string }): string => new URL(service.url).host
    const config = prometheusConfig({
      exporter: hostOf(exporter),
      remoteWrite: hostOf(remoteWrite),
      control: hostOf(control),
      scrapeSeconds: 1,
      evaluationSeconds: 1,
    })
    return { ...parse(config), rule_files: [join(rules, '*.yml')] }
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
    // A picture wants some minutes of what the rules record.
    const from = new Date(startedMs)
    if (pictures) await until(async () => Date.now() - startedMs > 120_000 || undefined, 200)
    const sources = await boardSources(prometheus.url, pool, from)
    const empty: string[] = []
    const answers = new Map<Panel, readonly Answer[]>()
    for (const board of boards) {
      for (const panel of panelsOf(board)) {
        const found = await answerPanel(board, panel, sources)
        answers.set(panel, found)
        if (found.some(isEmpty)) empty.push(`${board.title}: ${panel.title}`)
      }
    }
    drawn = { answers, from: sources.from, to: sources.to }
    // A healthy blade that obeys has nothing to show here.
    assert.deepEqual(empty, [
      'System: What fires',
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
    assert.ok(drawn)
    const browser = await startChromium(this)
    try {
      for (const board of boards) {
        const { charts, picture } = await drawBoard(browser, board, drawn)
        const series = panelsOf(board).filter(({ kind }) => kind === 'series')
        const shown = series.filter(({ mayBeEmpty }) => mayBeEmpty === undefined)
        assert.ok(charts >= shown.length, `${board.title}: ${charts} charts`)
        if (pictures) await writeFile(join(pictures, `${board.uid}.png`), picture)
      }
    } finally {
      await browser.close()
    }
  })

  it('see the simulated system, each alert that has a limit', async () => {
    assert.ok(chain && directory)
    const rules = join(directory, 'broken')
    await mkdir(rules)
    await copyRules(rules, breakLimits)
    const { remote_write: _, remote_read: __, ...config } = configFor(chain, rules)
    broken = await runPrometheus(program, stringify(config), { address: brokenAddress })
    const limited = (await evaluated(brokenAddress)).filter(
      ({ type, query }) => type === 'alerting' && /site:/.test(query),
    )
    const wanted = new Set(limited.map(({ name }) => name))
    wanted.delete('SiteLimitMissing')
    assert.ok(wanted.size > 20, `${wanted.size} alerts with a limit`)
    await untilNone(async () => {
      const loud = await loudAlerts(brokenAddress)
      return [...wanted].filter((name) => !loud.has(name) && !noForwarder.includes(name))
    }, 120)
  })

  it('have the page show what fires, what to do, and where', async function onPage() {
    assert.ok(chain && broken)
    const browser = await startChromium(this)
    try {
      const page = await browser.newPage()
      await page.goto(chain.remoteWrite.url)
      const entry = page.locator('.alerts > li', {
        hasText: /^critical Coolant enters cabinet x1000/,
      })
      await entry.waitFor()
      assert.match(await entry.innerText(), /Coolant enters cabinet x1000 at \d\d\.\d °C since /)
      await entry.getByText('CoolantSupplyHot: what it means').click()
      await entry.getByText('Call the operators of the cooling plant.').waitFor()
      assert.match(await page.locator('.figures').innerText(), /Alerts firing\s+\d+ critical/)
      await page.getByText(`Alerts are those of ${broken.url}.`).waitFor()
      await expectNothingSerious(page, 'Now with alerts')
      await entry.getByRole('link', { name: 'x1000' }).click()
      await page.getByRole('heading', { name: 'x1000', exact: true }).waitFor()
      await entry.waitFor()
      await page.getByRole('img', { name: 'Power of the nodes of x1000' }).waitFor()
      assert.equal(await page.locator('.alerts > li', { hasText: 'x3000m0' }).count(), 0)
      await broken.close()
      await page.goto(`${chain.remoteWrite.url}/#/`)
      const fault = page.getByRole('alert').filter({ hasText: `${broken.url}/api/v1/alerts: ` })
      await fault.waitFor()
    } finally {
      await browser.close()
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

/** A running job on a blade without accelerators, over as long as anything has been recorded. */
async function boardSources(prometheusUrl: string, pool: Pool, from: Date): Promise<Sources> {
  const { rows } = await pool.query(
    `select j.job_id, a.xname from job j join allocation a on a.run = j.id
     where j.ended_at is null and a.xname ~ '^x1000c0s[4-7]'
     order by j.started_at, a.xname limit 1`,
  )
  const { job_id, xname } = rows[0]
  const to = new Date()
  const all = { cabinet: '.+', pdu: '.+', account: '.+' }
  return {
    prometheusUrl,
    pool,
    from,
    to,
    stepSeconds: 5,
    scrapeSeconds: 1,
    variables: { ...all, xname, jobid: String(job_id) },
  }
}

/** Copies the rules, evaluated each second, without the minutes that alerts and ramps wait. */
async function copyRules(directory: string, change: (file: RuleFile) => RuleFile): Promise<void> {
  const folder = dirname(ruleFiles)
  for (const name of await readdir(folder)) {
    const text = await readFile(join(folder, name), 'utf8')
    const file: RuleFile = parse(text.replaceAll('offset 1m', 'offset 5s'))
    const groups = file.groups.map((group) => ({ ...group, interval: '1s' }))
    await writeFile(join(directory, name), stringify(change({ groups })))
  }
}

interface RuleFile {
  groups: { name: string; rules: { record?: string; expr: unknown; for?: string }[] }[]
}

/** Limits that no system keeps to, budgets, and no waiting. */
function breakLimits({ groups }: RuleFile): RuleFile {
  return {
    groups: groups.map(({ rules, ...group }) => ({
      ...group,
      rules: [
        ...rules.map(({ record, expr, ...rule }) => ({
          ...(record === undefined ? { ...rule, for: '0s' } : { ...rule, record }),
          expr: record?.startsWith('site:') ? unkept(record) : expr,
        })),
        ...(group.name === 'joulebridge_site' ? budgets : []),
      ],
    })),
  }
}

function unkept(limit: string): string {
  const isLeast = /(volts|pascals|coverage_ratio):min$|:(low|lost)$|margin/.test(limit)
  return isLeast ? '1e9' : '-1'
}

const budgets = [
  { record: 'site:system_power_watts:budget', expr: '-1' },
  { record: 'site:system_power_ramp_watts:limit', expr: '-1' },
  { record: 'site:cabinet_power_watts:budget', expr: '-1', labels: { cabinet: 'x1000' } },
]
