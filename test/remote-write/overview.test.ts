import assert from 'node:assert/strict'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import type { Overview, PowerHistory } from '../../remote-write/overview/overview.ts'
import { getJson } from '../support/jobs.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecord } from '../support/remote-write.ts'
import { storeSeries } from '../support/samples.ts'

describe('GET /api/v1/overview', () => {
  let service: Service
  let pool: Pool
  let now: number

  before(async () => {
    now = Math.floor(Date.now() / 1000)
    const database = await cloneDatabase()
    pool = database.pool
    service = await startRecord(database.url)
    const at = [now - 20, now - 10]
    const line = (metric: string, labels: Record<string, string>, ...values: number[]) => ({
      metric,
      labels: { job: 'j', instance: 'e', ...labels },
      samples: values.map((value, i) => [at[i] ?? now, value] as const),
    })
    const node = { xname: 'x1000c0s0b0n0' }
    await storeSeries(pool, [
      line('cray_node_power_watts', node, 500, 600),
      line('cray_sensor_temperature_celsius', { ...node, sensor: 'a' }, 40, 41),
      line('cray_sensor_temperature_celsius', { ...node, sensor: 'b' }, 55, 54),
      line('cray_chassis_power_watts', { xname: 'x1000c0', side: 'Input' }, 700, 800),
      line('cray_chassis_power_watts', { xname: 'x1000c0', side: 'Output' }, 690, 790),
      line('cray_pdu_phase_power_watts', { xname: 'x3000m0p0', phase: 'A' }, 100, 100),
      line('cray_pdu_phase_power_watts', { xname: 'x3000m0p0', phase: 'B' }, 50, 60),
      line('cray_pdu_line_power_watts', { xname: 'x3000m0p0', line: 'A' }, 9, 9),
      line('cray_device_up', { xname: 'x3000m0' }, 1, 1),
      line('cray_device_up', { xname: 'x1000c0s1b0' }, 1, 0),
    ])
  })

  after(() => service.close())

  it('has nodes with power and greatest temperature, cabinets, and who is silent', async () => {
    const { nodes, cabinets, silent } = await getJson<Overview>(service, '/api/v1/overview')
    const node = { power_watts: 600, temperature_celsius: 54, job_ids: [] }
    assert.deepEqual(nodes, [{ xname: 'x1000c0s0b0n0', ...node }])
    assert.deepEqual(cabinets, [
      { cabinet: 'x1000', input_watts: 800, node_watts: 600 },
      { cabinet: 'x3000', input_watts: 160, node_watts: null },
    ])
    assert.deepEqual(silent, ['x1000c0s1b0'])
  })

  it('has the means of the cabinets over time, a PDU by the best that it tells', async () => {
    const path = '/api/v1/overview/power?hours=1&points=1'
    const { step_seconds, lines } = await getJson<PowerHistory>(service, path)
    assert.equal(step_seconds, 3600)
    assert.deepEqual(lines, [
      { xname: 'x1000', watts: [750] },
      { xname: 'x3000', watts: [155] },
    ])
  })

  it('has the power of the nodes asked for, null where there is no sample', async () => {
    const [from, to] = [now - 120, now].map((at) => new Date(at * 1000).toISOString())
    const path = `/api/v1/nodes/power?xname=x1000c0s0b0n0&xname=x9&from=${from}&to=${to}&points=2`
    const { lines } = await getJson<PowerHistory>(service, path)
    assert.deepEqual(lines, [{ xname: 'x1000c0s0b0n0', watts: [null, 550] }])
  })
})
