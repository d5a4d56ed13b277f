import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { compactDue } from '../../remote-write/segments/compact.ts'
import { iso, postEvents } from '../support/jobs.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecord } from '../support/remote-write.ts'
import { type StoredSeries, storeSeries } from '../support/samples.ts'

const file = new URL('../../remote-write/SQL.md', import.meta.url)

describe('remote-write/SQL.md', () => {
  it('has only examples that give rows, live and compacted, to a reader', async () => {
    const { url, pool } = await cloneDatabase()
    const now = Math.floor(Date.now() / 60_000) * 60
    await storeSeries(pool, seriesUntil(now))
    const service = await startRecord(url)
    const about = { cluster: 'alps', job_id: 1042 }
    const events = [
      { ...about, type: 'start', time: iso(now - 7200), nodelist: nodes.join(), user: 'freya' },
      { ...about, type: 'end', time: iso(now - 600) },
    ]
    assert.equal((await postEvents(service, events)).status, 200)
    await service.close()
    await compactDue(pool, { delaySeconds: 0 })
    const text = await readFile(file, 'utf8')
    const examples = [...text.matchAll(/```sql\n([\s\S]*?)```/g)].map(([, sql]) => sql ?? '')
    assert.ok(examples.length > 10)
    const client = await pool.connect()
    await client.query('set role joulebridge_reader')
    for (const example of examples) {
      const sql = example
        .replaceAll('$__timeFrom()', `'${iso(now - 3600)}'`)
        .replaceAll('$__timeTo()', `'${iso(now)}'`)
      const { rows } = await client.query<Record<string, unknown>>(sql)
      assert.ok(rows.length > 0, `no rows: ${sql}`)
      const empty = Object.keys(rows[0] ?? {}).filter((name) => rows.every((r) => r[name] === null))
      assert.deepEqual(empty, [], `columns without a value: ${sql}`)
    }
    client.release(true)
  })
})

const nodes = ['x1000c0s0b0n0', 'x1000c0s0b0n1']

/** A cabinet with two nodes and a rack with a PDU, a sample a minute over twelve hours. */
function seriesUntil(now: number): StoredSeries[] {
  const target = { job: 'joulebridge', instance: 'exporter', source: 'redfish' }
  const series = (
    metric: string,
    labels: Record<string, string>,
    value: (seconds: number) => number,
  ): StoredSeries => ({
    metric,
    labels: { ...target, ...labels },
    samples: Array.from({ length: 721 }, (_, i) => now - 43_200 + i * 60).map(
      (at) => [at, value(at)] as const,
    ),
  })
  const chassis = { xname: 'x1000c0', bmc: 'x1000c0b0' }
  const probe = { xname: 'x3000m0', bmc: 'x3000m0', probe: '1', name: 'aisle' }
  const outlet = { xname: 'x3000m0', bmc: 'x3000m0', outlet: 'AA1', line: 'L1' }
  const phase = (name: string, amperes: number) => {
    const labels = { xname: 'x3000m0', bmc: 'x3000m0', mains: 'A', phase: name }
    return series('cray_pdu_phase_current_amperes', labels, () => amperes)
  }
  return [
    ...nodes.flatMap((xname, i) => [
      series('cray_node_power_watts', { xname, bmc: 'x1000c0s0b0' }, () => 400 + i),
      series('cray_node_energy_joules_total', { xname, bmc: 'x1000c0s0b0' }, (at) => {
        return (400 + i) * (at - now + 90_000)
      }),
    ]),
    series('cray_chassis_power_watts', { ...chassis, side: 'Input' }, () => 1000),
    series('cray_chassis_power_watts', { ...chassis, side: 'Output' }, () => 950),
    series('cray_sensor_temperature_celsius', { ...chassis, context: 'LiquidInlet' }, () => 24),
    series('cray_sensor_temperature_celsius', { ...chassis, context: 'LiquidOutlet' }, () => 31),
    series('cray_pdu_temperature_celsius', probe, () => 25),
    series('cray_pdu_humidity_ratio', probe, () => 0.5),
    series('cray_pdu_outlet_power_watts', outlet, () => 230),
    series('cray_pdu_outlet_current_amperes', outlet, () => 1),
    ...[phase('L1-L2', 10), phase('L2-L3', 12), phase('L3-L1', 14)],
  ]
}
