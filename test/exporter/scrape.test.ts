import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { metrics } from '../../exporter/metrics.ts'
import { serveResources, type TestDevice } from '../support/device.ts'
import { samplesOf, startTestExporter, type TestExporter } from '../support/exporter.ts'
import { requireProgram } from '../support/prometheus.ts'

describe('the exporter over HTTP', () => {
  let server: TestDevice
  let exporter: TestExporter

  before(async () => {
    server = await serveResources({
      '/jaws/monitor/units': [{ id: 'A' }],
      '/jaws/monitor/outlets': [
        { id: 'AA10', energy: 7, state: 'On' },
        { id: 'AA9', energy: 1000, active_power: 12, state: 'Off' },
      ],
      '/jaws/monitor/phases': [],
    })
    exporter = await startTestExporter({ devices: [{ xname: 'X3000M0', server }] })
    await exporter.scrapeUntil((all) => samplesOf(all, 'cray_pdu_outlet_power_watts').length > 0)
  })

  after(async () => {
    await exporter?.close()
    await server?.close()
  })

  it('passes promtool check metrics', async function () {
    const promtool = await requireProgram('promtool', this)
    const text = await textAt('/metrics')
    const { status, stdout, stderr } = spawnSync(promtool, ['check', 'metrics'], { input: text })
    assert.equal(`${stdout}${stderr}`, '')
    assert.equal(status, 0)
  })

  it('gives one HELP and one TYPE to each metric, in both formats', async () => {
    for (const accept of ['text/plain', 'application/openmetrics-text; version=1.0.0']) {
      const heads = (await textAt('/metrics', accept)).match(/^# (HELP|TYPE) \S+/gm) ?? []
      assert.equal(new Set(heads).size, heads.length)
      assert.ok(heads.length > 40, `only ${heads.length} heads in ${accept}`)
    }
  })

  it('speaks OpenMetrics: no _total in the name of a family, and an end', async () => {
    const response = await get('/probe?target=x3000m0', 'application/openmetrics-text')
    assert.match(response.headers.get('content-type') ?? '', /^application\/openmetrics-text/)
    const text = await response.text()
    assert.match(text, /^# TYPE cray_pdu_outlet_energy_joules counter$/m)
    assert.match(text, /^cray_pdu_outlet_energy_joules_total\{.*outlet="AA9"\} 3600000$/m)
    assert.match(text, /\n# EOF\n$/)
  })

  it('numbers outlets by letters, then number', async () => {
    const samples = await exporter.scrape('/probe?target=x3000m0')
    const places = samplesOf(samples, 'cray_pdu_outlet_energy_joules_total')
    assert.deepEqual(
      places.map(({ labels }) => [labels['xname'], labels['outlet']]),
      [
        ['x3000m0p0v1', 'AA9'],
        ['x3000m0p0v2', 'AA10'],
      ],
    )
  })

  it('shows a state as one series for each, 1 for the one it is in', async () => {
    const samples = await exporter.scrape('/probe?target=x3000m0')
    const states = samplesOf(samples, 'cray_pdu_outlet_state', { outlet: 'AA9' })
    assert.deepEqual(
      states.map(({ labels, value }) => [labels['state'], value]),
      [
        ['Off', 1],
        ['On', 0],
      ],
    )
  })

  it('shows only the device in a probe, found by xname or host', async () => {
    for (const target of ['x3000m0', new URL(server.url).host]) {
      const names = (await exporter.scrape(`/probe?target=${target}`)).map(({ name }) => name)
      assert.ok(names.includes('cray_device_up'))
      assert.deepEqual(
        names.filter((name) => !name.startsWith('cray_')),
        [],
      )
    }
  })

  it('asks for power and energy alone when told so', async () => {
    const before = server.requests.length
    await exporter.scrape('/probe?target=x3000m0&module=power')
    assert.ok(server.requests.length > before)
    const names = await exporter.scrape('/probe?target=x3000m0&module=power')
    assert.ok(samplesOf(names, 'cray_pdu_outlet_power_watts').length > 0)
  })

  it('answers 400 to an unknown target or module, and says which', async () => {
    for (const [query, message] of [
      ['', /target: expected/],
      ['?target=x1c0b0', /"x1c0b0" is no device/],
      ['?target=x3000m0&module=x', /module: expected all or power, got "x"/],
    ] as const) {
      const response = await get(`/probe${query}`)
      assert.equal(response.status, 400)
      const { detail } = (await response.json()) as { detail: string }
      assert.match(detail, message)
    }
  })

  it('lists its devices for http_sd, each ready to be scraped', async () => {
    const response = await get('/sd')
    assert.match(response.headers.get('content-type') ?? '', /^application\/json/)
    const [target, ...others] = (await response.json()) as {
      targets: string[]
      labels: Record<string, string>
    }[]
    assert.deepEqual(others, [])
    assert.equal(`http://${target?.targets[0]}`, exporter.url)
    assert.equal(target?.labels['__param_target'], 'x3000m0')
    assert.equal(target?.labels['__meta_joulebridge_cabinet'], 'x3000')
    assert.equal(target?.labels['__meta_joulebridge_kind'], 'jaws')
  })

  it('is healthy, ready after the first poll, and has a page that links to the rest', async () => {
    assert.equal((await get('/-/healthy')).status, 200)
    assert.equal((await get('/-/ready')).status, 200)
    const page = await textAt('/')
    for (const [, link = ''] of page.matchAll(/href="([^"]+)"/g)) {
      assert.equal((await get(link)).status, 200, link)
    }
  })

  async function get(path: string, accept = 'text/plain'): Promise<Response> {
    return await fetch(exporter.url + path, { headers: { accept } })
  }

  async function textAt(path: string, accept?: string): Promise<string> {
    return await (await get(path, accept)).text()
  }
})

describe('the table of metrics', () => {
  it('names base units, and counters alone with _total', () => {
    const unit =
      /_(watts|joules_total|volts|amperes|celsius|pascals|ratio|rpm|seconds|voltamperes|info)$/
    const bare = metrics.filter(({ name, type }) => type !== 'stateset' && !unit.test(name))
    assert.deepEqual(
      bare.map(({ name }) => name),
      [
        'cray_sensors_without_reading',
        'cray_triggered_alarms',
        'cray_pm_freshness_total',
        'cray_device_up',
        'cray_device_held',
        'cray_device_requests_total',
        'cray_device_errors_total',
        'cray_device_round_requests',
        'cray_device_requests_per_reading',
        'cray_device_login_refused',
        'cray_device_series_cut',
        'cray_device_sessions_total',
      ],
    )
    for (const { name, type } of metrics) assert.equal(name.endsWith('_total'), type === 'counter')
  })

  it('has no label that Prometheus or a site sets itself', () => {
    const taken = /^(job|instance|le|quantile|type|cluster|env|region|jobid)$/
    const clashes = metrics.filter(({ labels }) => labels.some((label) => taken.test(label)))
    assert.deepEqual(clashes, [])
  })
})
