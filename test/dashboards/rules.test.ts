import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { parse, stringify } from 'yaml'
import { prometheusConfig } from '../../dashboards/prometheus.ts'
import { findProgram } from '../../exporter/service/child.ts'
import { requireNewerProgram } from '../support/debian-program.ts'
import { requireProgram } from '../support/prometheus.ts'

import { selectedMetrics, shownMetrics } from '../support/rules-metrics.ts'

const run = promisify(execFile)

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const folder = join(root, 'dashboards/rules')
const runbooks = join(root, 'dashboards/runbooks')
const tests = join(root, 'test/dashboards/rules')

interface Rule {
  file: string
  record?: string
  alert?: string
  expr: string
  for?: string
  labels?: Record<string, string>
  annotations?: Record<string, string>
}

interface TestGroup {
  name: string
  promql_expr_test?: { expr: string }[]
  alert_rule_test?: { alertname: string; exp_alerts: { exp_labels: Record<string, string> }[] }[]
}

interface TestFile {
  rule_files: string[]
  tests: TestGroup[]
}

async function readRules(): Promise<Rule[]> {
  const files = await readdir(folder)
  const parts = files.map(async (file) => {
    const { groups } = parse(await readFile(join(folder, file), 'utf8'))
    return groups.flatMap(({ rules }: { rules: Rule[] }) =>
      rules.map((rule) => ({ ...rule, expr: String(rule.expr), file })),
    )
  })
  return (await Promise.all(parts)).flat()
}

async function readTests(): Promise<Map<string, TestFile>> {
  const files = await readdir(tests)
  const read = async (file: string) => parse(await readFile(join(tests, file), 'utf8'))
  return new Map(await Promise.all(files.map(async (file) => [file, await read(file)] as const)))
}

/** What a program prints; its output is the error's message when it ends with another code. */
async function output(program: string, ...args: string[]): Promise<string> {
  const { stdout, stderr } = await run(program, args, { maxBuffer: 1e8 }).catch((error) => {
    throw new Error(`${args.join(' ')}:\n${error.stdout}${error.stderr}`)
  })
  return stdout + stderr
}

const inFolder = async (of: string): Promise<string[]> =>
  (await readdir(of)).map((file) => join(of, file))

const components = ['power', 'cooling', 'telemetry', 'record', 'control']

const promtools = [
  { title: 'promtool as installed', of: (test: Mocha.Context) => requireProgram('promtool', test) },
  {
    title: 'promtool 3',
    of: (test: Mocha.Context) =>
      requireNewerProgram(test, { packageName: 'promtool', program: 'promtool' }),
  },
]

for (const { title, of } of promtools) {
  describe(`the rules and ${title}`, function withPromtool() {
    this.timeout(240_000)
    let promtool: string

    before(async function find() {
      promtool = await of(this)
    })

    it('pass its check', async () => {
      const checked = await output(
        promtool,
        ...['check', 'rules', '--lint=all', '--lint-fatal'],
        ...(await inFolder(folder)),
      )
      assert.doesNotMatch(checked, /duplicate/)
    })

    it('pass their unit tests', async () => {
      const tested = await output(promtool, 'test', 'rules', ...(await inFolder(tests)))
      assert.equal(tested.match(/SUCCESS/g)?.length, (await inFolder(tests)).length)
    })

    it('are in the configuration of Prometheus', async () => {
      const directory = await mkdtemp(join(tmpdir(), 'joulebridge-rules-'))
      const config = join(directory, 'prometheus.yml')
      const address = '127.0.0.1:1'
      const targets = { exporter: address, remoteWrite: address, control: address }
      await writeFile(
        config,
        prometheusConfig({ ...targets, scrapeSeconds: 10, evaluationSeconds: 30 }),
      )
      const checked = await output(promtool, 'check', 'config', config)
      await rm(directory, { recursive: true })
      for (const file of await inFolder(folder)) assert.ok(checked.includes(file), file)
    })
  })
}

describe('the rules', () => {
  it('select only metrics that Joulebridge shows or other rules record', async () => {
    const rules = await readRules()
    const known = await shownMetrics()
    for (const { record } of rules) if (record) known.add(record)
    // Prometheus's own, and what every process shows.
    for (const name of ['up', 'process_start_time_seconds']) known.add(name)
    const unknown = rules.flatMap(({ file, record, alert, expr }) =>
      selectedMetrics(expr)
        .filter((name) => !known.has(name) && !siteOwn.includes(name))
        .map((name) => `${file}: ${record ?? alert}: ${name}`),
    )
    assert.deepEqual(unknown, [])
  })

  it('are named level:metric:operation where they record', async () => {
    const names = (await readRules()).flatMap(({ record }) => record ?? [])
    assert.deepEqual(
      names.filter((name) => !/^[a-z]+:[a-z_]+:[a-z0-9]+$/.test(name)),
      [],
    )
  })

  it('have a severity, a component, a time, texts with a value or place, a runbook', async () => {
    for (const { alert, labels, annotations, expr, ...rule } of await readRules()) {
      if (alert === undefined) continue
      assert.match(alert, /^([A-Z][a-z]+)+$/)
      assert.match(labels?.['severity'] ?? '', /^(info|warning|critical)$/, alert)
      assert.ok(components.includes(labels?.['component'] ?? ''), alert)
      assert.ok(rule.for, `${alert} has no for`)
      const { summary = '', description = '', runbook = '' } = annotations ?? {}
      const texts = `${summary} ${description}`
      assert.ok(summary.length > 0 && summary.length < 160, alert)
      assert.ok(/\$(value|labels)/.test(texts) || /absent|sum\(rate/.test(expr), alert)
      assert.match(description, /\.$/, alert)
      assert.equal(runbook, `runbooks/${alert}.md`)
    }
  })

  it('have a runbook each, with meaning, impact, diagnosis and mitigation', async () => {
    const alerts = new Set((await readRules()).flatMap(({ alert }) => alert ?? []))
    assert.deepEqual(
      (await readdir(runbooks)).sort(),
      [...alerts].map((alert) => `${alert}.md`).sort(),
    )
    for (const alert of alerts) {
      const text = await readFile(join(runbooks, `${alert}.md`), 'utf8')
      const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => heading)
      assert.deepEqual(headings, [alert, 'Meaning', 'Impact', 'Diagnosis', 'Mitigation'])
    }
  })

  it('come with queries to paste, each of which is tested', async () => {
    const { queries } = parse(await readFile(join(root, 'dashboards/queries.yml'), 'utf8'))
    const plain = (expr: string) => expr.trim().replaceAll(/\s+/g, ' ')
    const tested = [...(await readTests()).values()]
      .flatMap(({ tests }) => tests)
      .flatMap(({ promql_expr_test = [] }) => promql_expr_test.map(({ expr }) => plain(expr)))
    assert.ok(queries.length > 5)
    assert.deepEqual(
      queries
        .map(({ expr }: { expr: string }) => plain(expr))
        .filter((expr: string) => !tested.some((one) => one.includes(expr))),
      [],
    )
  })

  it('are tested where they fire and where they do not, in each severity', async () => {
    const files = await readTests()
    const cases = [...files.values()].flatMap(({ tests }) =>
      tests.flatMap(({ alert_rule_test }) => alert_rule_test ?? []),
    )
    for (const { alert, labels } of await readRules()) {
      if (alert === undefined || alert === 'SiteLimitMissing') continue
      const own = cases.filter(({ alertname }) => alertname === alert)
      const fires = own.filter(({ exp_alerts }) =>
        exp_alerts.some(({ exp_labels }) => exp_labels['severity'] === labels?.['severity']),
      )
      assert.ok(fires.length > 0, `${alert} ${labels?.['severity']} fires in no test`)
      const quiet = own.filter(({ exp_alerts }) => exp_alerts.length === 0)
      assert.ok(quiet.length >= 2, `${alert} is quiet in ${quiet.length} tests`)
    }
  })
})

describe("the site's limits", function limits() {
  this.timeout(300_000)
  let directory: string
  let promtool: string

  before(async function prepare() {
    promtool = await requireProgram('promtool', this)
    directory = await mkdtemp(join(tmpdir(), 'joulebridge-limits-'))
  })

  after(async () => {
    if (directory) await rm(directory, { recursive: true })
  })

  const isLimit = ({ file, record }: Rule) => file === 'site.yml' && record?.startsWith('site:')

  it('are all used by an alert, and none is used that is not there', async () => {
    const rules = await readRules()
    const there = rules.filter(isLimit).map(({ record }) => record)
    const used = rules
      .flatMap(({ alert, expr }) => (alert ? selectedMetrics(expr) : []))
      .filter((name) => name.startsWith('site:'))
    assert.deepEqual([...new Set(used)].sort(), [...there, ...siteOwn].sort())
  })

  it('are moved by nobody without a test that fails', async () => {
    const rules = await readRules()
    const files = await readTests()
    const moves = rules
      .filter(isLimit)
      .flatMap(({ record = '', expr }) =>
        [0.75, 1.6].map((factor) => ({ record, value: Number(expr) * factor })),
      )
    const unnoticed: string[] = []
    for (const { record, value } of moves) {
      const alerts = rules.filter(({ expr }) => selectedMetrics(expr).includes(record))
      const names = new Set(alerts.map(({ alert }) => alert))
      const noticed = await failsWith(record, value, names, files)
      if (!noticed) unnoticed.push(`${record} at ${value}`)
    }
    assert.deepEqual(unnoticed, [])
  })

  /** Whether the unit tests of these alerts fail once the limit has another value. */
  async function failsWith(
    limit: string,
    value: number,
    alerts: ReadonlySet<string | undefined>,
    files: ReadonlyMap<string, TestFile>,
  ): Promise<boolean> {
    await cp(folder, directory, { recursive: true })
    const site = parse(await readFile(join(folder, 'site.yml'), 'utf8'))
    for (const rule of site.groups[0].rules) if (rule.record === limit) rule.expr = String(value)
    await writeFile(join(directory, 'site.yml'), stringify(site))
    for (const file of files.values()) {
      const own = file.tests.filter(({ alert_rule_test = [] }) =>
        alert_rule_test.some(({ alertname }) => alerts.has(alertname)),
      )
      if (own.length === 0) continue
      const rule_files = file.rule_files.map((path) =>
        join(directory, path.split('/').at(-1) ?? ''),
      )
      const test = join(directory, 'test.yaml')
      await writeFile(test, stringify({ ...file, rule_files, tests: own }))
      const passed = await output(promtool, 'test', 'rules', test).then(
        () => true,
        () => false,
      )
      if (!passed) return true
    }
    return false
  }

  it('are told when one is missing, and when all are', async () => {
    const rules = await readRules()
    const names = rules.filter(isLimit).map(({ record = '' }) => record)
    const rule = rules.find(({ alert }) => alert === 'SiteLimitMissing')
    const group = (present: readonly string[], value: number | undefined) => {
      const annotations = Object.entries(rule?.annotations ?? {}).map(([key, text]) => [
        key,
        text.replace('{{ $value }}', String(value)),
      ])
      const alert = {
        exp_labels: rule?.labels,
        exp_annotations: Object.fromEntries(annotations),
      }
      return {
        interval: '1m',
        input_series: present.map((series) => ({ series, values: '1x20' })),
        alert_rule_test: [
          {
            eval_time: '15m',
            alertname: 'SiteLimitMissing',
            exp_alerts: value === undefined ? [] : [alert],
          },
        ],
      }
    }
    const file = join(directory, 'missing.yaml')
    const tests = [group(names, undefined), group(names.slice(1), names.length - 1), group([], 0)]
    const rule_files = [join(folder, 'telemetry.yml')]
    await writeFile(file, stringify({ rule_files, evaluation_interval: '30s', tests }))
    await output(promtool, 'test', 'rules', file)
  })
})

/** Limits that stand in site.yml as examples: without them their alerts rest. */
const siteOwn = [
  'site:system_power_watts:budget',
  'site:system_power_ramp_watts:limit',
  'site:cabinet_power_watts:budget',
]

describe('the inhibition rules for Alertmanager', () => {
  const file = join(root, 'dashboards/alertmanager.yml')

  it('pass amtool', async function amtool() {
    this.timeout(240_000)
    const installed = await findProgram('amtool', process.env)
    const program =
      installed ??
      (await requireNewerProgram(this, {
        packageName: 'prometheus-alertmanager',
        program: 'amtool',
      }))
    assert.match(await output(program, 'check-config', file), /7 inhibit rules/)
  })

  it('name alerts that exist', async () => {
    const alerts = new Set((await readRules()).map(({ alert }) => alert))
    const text = await readFile(file, 'utf8')
    const named = [...text.matchAll(/alertname=~?"([^"]+)"/g)].flatMap(([, names = '']) =>
      names.split('|'),
    )
    assert.ok(named.length > 10)
    assert.deepEqual(
      named.filter((name) => !alerts.has(name)),
      [],
    )
  })
})

describe('selectedMetrics', () => {
  it('finds the names of metrics in an expression, and nothing else', () => {
    const names = selectedMetrics(`
      sum by (xname) (rate(a_total{b="c", d=~"e{1}"}[5m] offset 1m)) # f
        > on (g, h) group_left (i) max without (j) (k:l:m @ 12) * scalar(n) + 1.5e3
        or {__name__="o"} unless p`)
    assert.deepEqual(names.sort(), ['a_total', 'k:l:m', 'n', 'o', 'p'])
  })
})
