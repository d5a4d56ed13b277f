import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { parseSettings } from '../../exporter/service/settings.ts'
import { exporterSection } from '../../exporter/settings.ts'
import {
  samplesOf,
  sampleValue,
  startTestExporter,
  type TestExporter,
} from '../support/exporter.ts'
import { describeMockups, recordedCounters } from '../support/mockups.ts'

const node = 'x1000c0s0b0n0'
const schema = z.strictObject({ exporter: exporterSection }).prefault({})

describe('the counters of a node in band', () => {
  let directory: string
  let exporter: TestExporter | undefined

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'joulebridge-pm-'))
  })

  afterEach(async () => {
    await exporter?.close()
    await rm(directory, { recursive: true, force: true })
  })

  async function write(files: Record<string, string>): Promise<void> {
    for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text)
  }

  async function start(): Promise<TestExporter> {
    exporter = await startTestExporter({ devices: [], pmCounters: { directory, xname: node } })
    return exporter
  }

  it('are shown with or without unit and time, for the domains that there are', async () => {
    await write({
      freshness: '17\n',
      energy: '1222273783 J 1646860602500000 us\n',
      power: '747 W',
      cpu_temp: '48',
      accel_power: '118 W 1646860602500000 us',
      accel1_power_cap: '0 W',
      memory_power: 'unavailable',
      startup: '1646774202500000\n',
      version: '2',
    })
    const samples = await (await start()).scrapeUntil((all) => all.some(isUp))
    const value = (name: string, domain: string) =>
      sampleValue(samples, name, { xname: node, bmc: 'x1000c0s0b0', source: 'sysfs', domain })
    assert.equal(value('cray_pm_energy_joules_total', 'node'), 1222273783)
    assert.equal(value('cray_pm_power_watts', 'node'), 747)
    assert.equal(value('cray_pm_temperature_celsius', 'cpu'), 48)
    assert.equal(value('cray_pm_power_watts', 'accel'), 118)
    assert.equal(value('cray_pm_power_cap_watts', 'accel1'), 0)
    assert.equal(samplesOf(samples, 'cray_pm_power_watts').length, 2)
    assert.equal(sampleValue(samples, 'cray_pm_freshness_total', {}), 17)
    const startup = { startup: '1646774202500000' }
    assert.equal(sampleValue(samples, 'cray_pm_startup_info', startup), 1)
  })

  it('disappear when they are no longer updated, and come back', async () => {
    await write({ freshness: '1', power: '100 W' })
    const running = await start()
    await running.scrapeUntil((all) => samplesOf(all, 'cray_pm_power_watts').length === 1)
    const stalled = await running.scrapeUntil(
      (all) => samplesOf(all, 'cray_pm_power_watts').length === 0,
    )
    assert.equal(sampleValue(stalled, 'cray_device_up', { xname: node }), 0)
    await write({ freshness: '2', power: '101 W' })
    const again = await running.scrapeUntil((all) => all.some(isUp))
    assert.equal(sampleValue(again, 'cray_pm_power_watts', {}), 101)
  })

  it('are down, not zero, where there are none', async () => {
    const samples = await (await start()).scrapeUntil(
      (all) => samplesOf(all, 'cray_device_up').length > 0,
    )
    assert.equal(sampleValue(samples, 'cray_device_up', { xname: node }), 0)
    assert.deepEqual(
      samples.filter(({ name }) => name.startsWith('cray_pm_')),
      [],
    )
  })

  it('are asked for by the xname of a node and no other', () => {
    const parse = (xname: string) =>
      parseSettings(schema, `exporter: { pm_counters: { xname: ${xname} } }`, 'joulebridge.yml')
    assert.deepEqual(parse('X1000C0S0B0N0').exporter.pmCounters, {
      directory: '/sys/cray/pm_counters',
      xname: node,
    })
    assert.throws(() => parse('x1000c0s0b0'), /pm_counters\.xname: expected the xname of a node/)
    assert.equal(parseSettings(schema, '', 'joulebridge.yml').exporter.pmCounters, undefined)
  })

  describeMockups('as recorded', () => {
    it('are all shown, each once', async () => {
      const recorded = recordedCounters('EX235a-Node0')
      const names = await readdir(recorded)
      for (const name of names)
        await write({ [name]: await readFile(join(recorded, name), 'utf8') })
      const samples = await (await start()).scrapeUntil((all) => all.some(isUp))
      const plain = ['freshness', 'generation', 'raw_scan_hz', 'startup', 'version']
      const values = await Promise.all(
        names
          .filter((name) => !plain.includes(name))
          .map(async (name) => Number.parseFloat(await readFile(join(recorded, name), 'utf8'))),
      )
      const shown = samples.filter(({ labels }) => labels['domain'] !== undefined)
      const byValue = (a: number, b: number) => a - b
      assert.deepEqual(shown.map(({ value }) => value).sort(byValue), values.sort(byValue))
    })
  })
})

function isUp({ name, value }: { name: string; value: number }): boolean {
  return name === 'cray_device_up' && value === 1
}
