import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fetch from 'node-fetch'
import type { Service } from '../../exporter/service/http.ts'
import { createLog } from '../../exporter/service/log.ts'
import { startRemoteWrite } from '../../remote-write/main.ts'
import type { Alerts } from '../../remote-write/overview/alert-route.ts'
import { postgresSection } from '../../remote-write/postgres/pool.ts'
import { remoteWriteSection } from '../../remote-write/settings.ts'
import { getJson } from '../support/jobs.ts'
import { freePort } from '../support/port.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { storeSeries } from '../support/samples.ts'

describe('GET /api/v1/alerts', () => {
  let databaseUrl: string
  let services: { close(): Promise<unknown> }[] = []

  before(async () => {
    const { url, pool } = await cloneDatabase()
    databaseUrl = url
    const now = Math.floor(Date.now() / 1000)
    const line = (metric: string, labels: Record<string, string>, value: number, age = 10) => ({
      metric,
      labels: { job: 'j', instance: 'e', ...labels },
      samples: [[now - age, value] as const],
    })
    const alarm = { alarm: 'CabinetLeakConfirmed', severity: 'Critical' }
    const early = { alarm: 'LeakIndicatorEarly', severity: 'Warning' }
    const supply = { context: 'LiquidInlet' }
    await storeSeries(pool, [
      line('cray_leak_alarm_state', { xname: 'x1000c0', ...alarm, state: 'Armed' }, 0),
      line('cray_leak_alarm_state', { xname: 'x1000c0', ...alarm, state: 'Triggered' }, 1),
      line('cray_leak_alarm_state', { xname: 'x1000c1', ...early, state: 'Triggered' }, 1),
      line('cray_leak_alarm_state', { xname: 'x1000c2', ...early, state: 'Armed' }, 1),
      line('cray_leak_alarm_state', { xname: 'x1000c2', ...early, state: 'Triggered' }, 0),
      line('cray_leak_alarm_state', { xname: 'x1000c3', ...alarm, state: 'Triggered' }, 1, 400),
      line('cray_sensor_temperature_celsius', { xname: 'x1000c0', sensor: 'a', ...supply }, 35),
      line('cray_sensor_temperature_celsius', { xname: 'x1000c0', sensor: 'b', ...supply }, 41),
      line('cray_sensor_temperature_celsius', { xname: 'x1000c0s0b0n0', sensor: 'c' }, 90),
      line('cray_pdu_humidity_ratio', { xname: 'x3000m0', probe: 'A1' }, 0.05),
      line('cray_device_up', { xname: 'x1000c0s1b0' }, 0),
      line('cray_device_up', { xname: 'x1000c0s2b0' }, 1),
    ])
  })

  afterEach(async () => {
    for (const service of services.reverse()) await service.close()
    services = []
  })

  const startWith = async (alerts: object): Promise<Service> => {
    const log = { level: 'silent', format: 'json' } as const
    const section = remoteWriteSection.parse({ web: { listenAddress: '127.0.0.1:0' }, alerts })
    const postgres = { ...postgresSection.parse({}), url: databaseUrl }
    const service = await startRemoteWrite(
      { ...section, log, postgres },
      { log: createLog('test', log), env: { TOKEN: 'secret' } },
    )
    services.push(service)
    return service
  }

  const serve = async (listener: RequestListener): Promise<string> => {
    const server = createServer(listener)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    services.push({ close: () => new Promise((resolve) => server.close(resolve)) })
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  const words = ({ alerts }: Alerts) =>
    alerts.map(({ severity, alert, place, since }) => [severity, alert, place, since].join(' '))

  it('has what the newest samples tell where nothing is set, each place at its worst', async () => {
    const service = await startWith({})
    const found = await getJson<Alerts>(service, '/api/v1/alerts')
    assert.deepEqual(words(found), [
      'critical CoolantSupplyHot x1000c0 ',
      'critical LeakDetected x1000c0 ',
      'warning DeviceSilent x1000c0s1b0 ',
      'warning HumidityLow x3000m0 ',
      'warning LeakDetected x1000c1 ',
    ])
    assert.equal(found.alerts[0]?.summary, 'Coolant enters x1000c0 at 41.0 °C')
    const { source, url, error } = found
    assert.deepEqual({ source, url, error }, { source: 'record', url: null, error: null })
    assert.ok(found.known?.includes('LeakDetected'))
  })

  it("goes by the site's own limits, and has a runbook of each alert", async () => {
    const directory = await mkdtemp(join(tmpdir(), 'joulebridge-limits-'))
    services.push({ close: () => rm(directory, { recursive: true }) })
    const limitsFile = join(directory, 'site.yml')
    const limit = "{ record: 'site:coolant_supply_celsius:warning', expr: 38 }"
    await writeFile(limitsFile, `groups: [{ name: site, rules: [${limit}] }]`)
    const service = await startWith({ limitsFile })
    const found = await getJson<Alerts>(service, '/api/v1/alerts')
    assert.ok(words(found).includes('warning CoolantSupplyHot x1000c0 '), words(found).join())
    assert.ok(!words(found).some((word) => word.includes('Humidity')))
    for (const { alert } of found.alerts) {
      const text = await (await fetch(`${service.url}/api/v1/runbooks/${alert}`)).text()
      assert.match(text, new RegExp(`^# ${alert}\n[\\s\\S]*## Mitigation`))
    }
    const missing = await fetch(`${service.url}/api/v1/runbooks/..%2f..%2fpackage.json`)
    assert.equal(missing.status, 404)
  })

  it('has what an Alertmanager tells, asked with the token', async () => {
    const asked: unknown[] = []
    const url = await serve((request, response) => {
      asked.push([request.url, request.headers.authorization])
      const labels = { alertname: 'RectifierLost', severity: 'critical', xname: 'x1000c0t1' }
      const annotations = { summary: 'Rectifier x1000c0t1 delivers 0W', description: 'Lost.' }
      const own = { labels: { alertname: 'Watchdog', cabinet: 'x9' }, annotations: {} }
      const startsAt = '2026-11-22T10:00:00Z'
      const found = [
        { ...own, startsAt },
        { labels, annotations, startsAt },
      ]
      response.setHeader('content-type', 'application/json').end(JSON.stringify(found))
    })
    const service = await startWith({
      url: `${url}/`,
      kind: 'alertmanager',
      token: { env: 'TOKEN' },
    })
    const found = await getJson<Alerts>(service, '/api/v1/alerts')
    assert.deepEqual(words(found), [
      'critical RectifierLost x1000c0t1 2026-11-22T10:00:00Z',
      ' Watchdog x9 2026-11-22T10:00:00Z',
    ])
    assert.deepEqual(
      found.alerts.map(({ summary, runbook }) => ({ summary, runbook })),
      [
        { summary: 'Rectifier x1000c0t1 delivers 0W', runbook: true },
        { summary: 'Watchdog', runbook: false },
      ],
    )
    assert.equal(found.source, 'alertmanager')
    await getJson(service, '/api/v1/alerts')
    const path = '/api/v2/alerts?active=true&silenced=false&inhibited=false'
    assert.deepEqual(asked, [[path, 'Bearer secret']], 'asked once in a while, not by each reader')
  })

  it('leaves out of what a Prometheus tells the alerts that only wait to fire', async () => {
    const url = await serve((_, response) => {
      const alert = (cabinet: string, state: string) => ({
        labels: { alertname: 'CoolantSupplyHot', alertstate: state, severity: 'info', cabinet },
        ...{ annotations: {}, state, activeAt: '2026-11-22T10:00:00Z', value: '3.5e+01' },
      })
      const alerts = [alert('x1000', 'pending'), alert('x1001', 'firing')]
      response.end(JSON.stringify({ status: 'success', data: { alerts } }))
    })
    const found = await getJson<Alerts>(await startWith({ url }), '/api/v1/alerts')
    assert.deepEqual(words(found), ['info CoolantSupplyHot x1001 2026-11-22T10:00:00Z'])
  })

  it('names the place that does not answer, or not as it should, and looks itself', async () => {
    const gone = `http://127.0.0.1:${await freePort()}`
    const broken = await serve((_, response) => response.writeHead(503).end())
    const other = await serve((_, response) => response.end('{"status":"success"}'))
    for (const [url, fault] of [
      [gone, /ECONNREFUSED/],
      [broken, /HTTP 503/],
      [other, /expected the alerts of Prometheus/],
    ] as const) {
      const service = await startWith({ url })
      const { source, error, alerts } = await getJson<Alerts>(service, '/api/v1/alerts')
      assert.equal(source, 'record')
      assert.ok(error?.startsWith(`${url}/api/v1/alerts: `), String(error))
      assert.match(String(error), fault)
      assert.equal(alerts.length, 5)
    }
  })
})
