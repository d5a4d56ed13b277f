import assert from 'node:assert/strict'
import { z } from 'zod'
import { credentialFor, deviceList } from '../../exporter/inventory/static.ts'
import { parseSettings, SettingsError } from '../../exporter/service/settings.ts'
import { exporterSection } from '../../exporter/settings.ts'

const schema = z.strictObject({ devices: deviceList, exporter: exporterSection }).prefault({})

describe('the settings of the exporter', () => {
  it('may all be left out', () => {
    const { devices, exporter } = parseSettings(schema, '', 'joulebridge.yml')
    assert.deepEqual(devices, [])
    assert.equal(exporter.web.listenAddress, '127.0.0.1:28010')
    assert.equal(exporter.poll.fastSeconds, 10)
    assert.equal(exporter.forward.url, undefined)
  })

  it('are written in snake_case, devices by xname in any spelling', () => {
    const { devices, exporter } = parsed(`
      devices:
        - { xname: X1000C0B0, url: https://10.1.0.5/ }
      exporter:
        poll: { slow_seconds: 120 }
    `)
    assert.deepEqual(devices, [{ xname: 'x1000c0b0', url: 'https://10.1.0.5' }])
    assert.equal(exporter.poll.slowSeconds, 120)
  })

  it('may give kinds paces of their own, and a calendar that is one', () => {
    const { exporter } = parsed(`
      exporter:
        poll: { kinds: { hpe-pdu: { fast_seconds: 120 } }, identity_schedule: "0 4 * * 0" }
    `)
    assert.deepEqual(exporter.poll.kinds, { 'hpe-pdu': { fastSeconds: 120 } })
    const faults = faultsOf(
      'exporter: { poll: { identity_schedule: daily, kinds: { cmm: { fast_seconds: 1 } } } }',
    )
    assert.match(faults, /exporter\.poll\.identity_schedule: expected a cron expression/)
    assert.match(faults, /exporter\.poll\.kinds.*cmm/)
  })

  it('are refused with every fault at once, each with its line and path', () => {
    const text = [
      'devices:',
      '  - xname: x1000q0',
      '    url: https://10.1.0.5',
      '  - xname: x1000c0b0',
      '    url: ftp://10.1.0.5',
      'exporter:',
      '  poll:',
      '    fast_seconds: -1',
      '    fastSeconds: 3',
      '  web:',
      '    listen_address: nowhere',
    ].join('\n')
    const faults = faultsOf(text)
    assert.match(faults, /^joulebridge\.yml:2: devices\.0\.xname: expected an xname/m)
    assert.match(faults, /^joulebridge\.yml:5: devices\.1\.url: expected a URL/m)
    assert.match(faults, /^joulebridge\.yml:8: exporter\.poll\.fast_seconds: /m)
    assert.match(faults, /^joulebridge\.yml:9: exporter\.poll\.fastSeconds: unknown setting$/m)
    assert.match(faults, /^joulebridge\.yml:11: exporter\.web\.listen_address: .*"nowhere"/m)
  })

  it('are refused with their file where YAML itself is wrong', () => {
    assert.match(faultsOf('devices: [\n'), /^joulebridge\.yml:2: \w/)
    assert.match(faultsOf('devices: *bmcs'), /^joulebridge\.yml: cannot be read as YAML$/)
  })

  it('may have sections whose settings are all commented out', () => {
    const { devices, exporter } = parsed('devices:\nexporter:\n  poll:\n    # fast_seconds: 5\n')
    assert.deepEqual(devices, [])
    assert.equal(exporter.poll.fastSeconds, 10)
  })

  it('are refused when a device stands twice, whatever the spelling', () => {
    const faults = faultsOf(`
devices:
  - { xname: x1000c0b0, url: https://10.1.0.5 }
  - { xname: x1000c00b0, url: https://10.1.0.6 }`)
    assert.match(faults, /devices\.1\.xname: x1000c0b0 stands twice/)
  })

  it('hold no secret, and a refusal does not repeat it', () => {
    const faults = faultsOf(`
exporter:
  credentials:
    - { username: root, password: hunter2 }`)
    assert.match(faults, /credentials\.0\.password: expected \{file: PATH\} or \{env: NAME\}/)
    assert.doesNotMatch(faults, /hunter2/)
  })

  it('give a device the first credential whose place holds it', () => {
    const { exporter } = parsed(`
      exporter:
        credentials:
          - { within: x3000m0, username: admn, password: { env: PDU } }
          - { username: root, password: { env: BMC } }
    `)
    const user = (xname: string) => credentialFor({ xname }, exporter.credentials)?.username
    assert.equal(user('x3000m0'), 'admn')
    assert.equal(user('x3000m01'), 'root')
    assert.equal(user('x1000c0b0'), 'root')
  })
})

function parsed(text: string) {
  return parseSettings(schema, text, 'joulebridge.yml')
}

function faultsOf(text: string): string {
  try {
    parsed(text)
  } catch (error) {
    if (error instanceof SettingsError) return error.message
    throw error
  }
  throw new Error('the settings were taken')
}
