import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { powerCommand } from '../../control/command.ts'
import { expandXnames } from '../../control/xname-range.ts'
import { runCommand } from '../support/command.ts'
import { startTestControl, type TestControl, token } from '../support/control.ts'
import { crayLimits, type LimitDevice, startLimitDevice } from '../support/limit-device.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { type PowerDevice, startPowerDevice } from '../support/power-device.ts'

describe('the command power', () => {
  let control: TestControl
  let powered: PowerDevice
  let limited: LimitDevice
  let directory: string

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'joulebridge-cli-'))
    await writeFile(join(directory, 'token'), `${token}\n`)
    powered = await startPowerDevice({ Node0: { powerState: 'Off' }, Node1: { powerState: 'Off' } })
    limited = await startLimitDevice(crayLimits())
    control = await startTestControl({
      databaseUrl: (await cloneDatabase()).url,
      devices: [
        { xname: 'x1000c0s0b0', server: powered },
        { xname: 'x1000c0s1b0', server: limited },
      ],
      settings: { capSettleSeconds: 0.1 },
    })
  })

  after(async () => {
    await control.close()
    await Promise.all([powered.close(), limited.close()])
    await rm(directory, { recursive: true, force: true })
  })

  const withLogin = ([name = '', ...rest]: readonly string[]) => {
    return [name, '--url', control.url, '--token-file', join(directory, 'token'), ...rest]
  }

  /** What it says; in this process, which spares the start of another. */
  async function power(...args: string[]) {
    const said: string[] = []
    const command = powerCommand({ say: (text) => void said.push(text), env: {} })
    await command.parseAsync(withLogin(args), { from: 'user' })
    return said.join('\n').split('\n')
  }

  it('turns a range of nodes on and follows it to the end, then shows their states', async () => {
    const on = await power('on', 'x1000c0s0b0n[0-1]', '--watch', '--reason', 'a rehearsal')
    assert.ok(on.includes('completed: 2 of 2 ended'), on.join('\n'))
    assert.match(on.at(-2) ?? '', /^x1000c0s0b0n0 {2}succeeded {2}Transition confirmed, on$/)
    assert.deepEqual(powered.resets.toSorted(), ['Node0 On', 'Node1 On'])
    const status = await power('status', 'x1000c0s0b0n[0,1],x1000c0s1b0n0')
    assert.deepEqual(status, [
      'x1000c0s0b0n0  on  available',
      'x1000c0s0b0n1  on  available',
      'x1000c0s1b0n0  on  available',
    ])
    const audit = await power('audit')
    assert.match(audit[0] ?? '', /requested {2}token {2}On .* a rehearsal$/)
  })

  it('shows a plan in a dry run, and sends nothing', async () => {
    const lines = await power('off', 'x1000c0s0b0n0', '--dry-run')
    assert.equal(lines[0], 'Off: a dry run, nothing is sent')
    assert.match(lines[1] ?? '', /send {2}POST \/redfish\/v1\/Systems\/Node0\/.*"ResetType":"Off"/)
    assert.ok(!powered.resets.includes('Node0 Off'))
  })

  it('sets limits, and shows them with their range', async () => {
    const set = await power(
      'cap',
      'x1000c0s1b0n0',
      '--node',
      '1500',
      '--limit',
      limitFlag,
      '--watch',
    )
    assert.ok(set.includes('completed: 1 of 1 ended'))
    const shown = await power('cap', 'x1000c0s1b0n0')
    assert.deepEqual(shown.slice(-5, -3), [
      'x1000c0s1b0n0  Node Power Limit          1500 W  764 to 2754 W',
      'x1000c0s1b0n0  Accelerator0 Power Limit  300 W   100 to 560 W',
    ])
  })
  const limitFlag = 'Accelerator0 Power Limit=300'

  it('ends with 1 where not all succeeded, and with the reason of a refusal', async () => {
    const args = withLogin(['cap', 'x1000c0s1b0n0', '--node', '1', '--watch'])
    const failed = runCommand('power', ...args)
    assert.equal(await failed.ended, 1)
    assert.match(failed.stdout(), /1 W is less than its minimum, 764 W$/m)
    await assert.rejects(
      power('on', 'x1000c0s0b0n0', '--confirm', '7'),
      /HTTP 400: confirm: 7, but the request reaches 1 components/,
    )
    await assert.rejects(
      power('on', 'x1000c0s[7-0]b0n0'),
      /expected \[2\] or \[0-7\] or \[0,4-6\], got \[7-0\]/,
    )
  })
})

describe('a range of xnames', () => {
  it('stands for each place once, in order', () => {
    assert.deepEqual(expandXnames('x1c0s[0-1]b[0,1]n0, X2C0S01b0n0,x1c0s0b0n0'), [
      'x1c0s0b0n0',
      'x1c0s0b1n0',
      'x1c0s1b0n0',
      'x1c0s1b1n0',
      'x2c0s1b0n0',
    ])
  })

  it('has as many names as the product of its brackets', () => {
    const span = fc.tuple(fc.nat(20), fc.nat(20))
    fc.assert(
      fc.property(fc.array(span, { minLength: 3, maxLength: 3 }), (spans) => {
        const parts = spans.map(([from, more]) => `[${from}-${from + more}]`)
        const names = expandXnames(`x1c0s${parts[0]}b${parts[1]}n${parts[2]}`)
        const product = spans.reduce((all, [, more]) => all * (more + 1), 1)
        assert.equal(names.length, product)
        assert.equal(new Set(names).size, product)
      }),
    )
  })

  it('is refused where it is none, too large, or no xname', () => {
    const bad = ['', 'x1[', 'x[a]', 'x[3-1]', 'x1,,x2', 'y1', 'x[0-99999]c[0-7]', 'x[1-2', 'x[]']
    for (const text of bad) assert.throws(() => expandXnames(text), Error, text)
  })
})
