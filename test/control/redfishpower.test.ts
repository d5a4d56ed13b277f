import assert from 'node:assert/strict'
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../support/command.ts'
import { startTestControl, type TestControl } from '../support/control.ts'
import { suite, unpackedPackage } from '../support/debian-program.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { simulatorLogin, startTestSimulator, type TestSimulator } from '../support/simulator.ts'

const bmc = 'x1000c0s0b0'
const node = `${bmc}n0`
const system = 'redfish/v1/Systems/Node0'

/** Powerman's redfishpower, which asks for commands as powermand gives them. */
describe('redfishpower beside power control', () => {
  let simulator: TestSimulator
  let control: TestControl
  let redfishpower: ChildProcessWithoutNullStreams
  let clock: NodeJS.Timeout
  let said = ''

  before(async function fetchPowerman() {
    this.timeout(240_000)
    const [program, ...args] = await redfishpowerCommand(this)
    simulator = await startTestSimulator({ historyHours: 0, now: new Date() })
    // Ten seconds of the simulated system for one of ours.
    clock = setInterval(() => simulator.moveSeconds(1), 100)
    control = await startTestControl({
      databaseUrl: (await cloneDatabase()).url,
      devices: [
        {
          xname: bmc,
          server: { url: simulator.deviceUrl(bmc), certificate: simulator.certificate },
        },
      ],
      env: { BMC_PASSWORD: simulatorLogin.password },
    })
    const { host } = new URL(simulator.deviceUrl(bmc))
    redfishpower = spawn(program, [...args, '-h', host])
    for (const stream of [redfishpower.stdout, redfishpower.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        said += text
      })
    }
    const { username, password } = simulatorLogin
    await ask(`auth ${username}:${password}`)
    await ask('setheader Content-Type:application/json')
    await ask(`setstatpath ${system}`)
    for (const [verb, type] of [
      ['on', 'On'],
      ['off', 'ForceOff'],
    ]) {
      const target = `${system}/Actions/ComputerSystem.Reset`
      await ask(`set${verb}path ${target} {"ResetType":"${type}"}`)
    }
  })

  after(async () => {
    clearInterval(clock)
    redfishpower?.kill()
    await control?.close()
    await simulator?.end()
  })

  const prompt = 'redfishpower> '
  const ask = async (command: string): Promise<string> => {
    await until(
      () => said.endsWith(prompt) || undefined,
      30,
      () => `no prompt: ${said}`,
    )
    said = ''
    redfishpower.stdin.write(`${command}\n`)
    await until(
      () => said.endsWith(prompt) || undefined,
      30,
      () => `${command}: ${said}`,
    )
    return said.slice(0, -prompt.length).trim()
  }
  const seenByBoth = async () => {
    const { body } = await control.call('GET', `/power-status?xname=${node}`)
    return [(await ask('stat')).split(': ').at(-1), body.status[0].powerState]
  }

  it('powers a simulated node, and both see the same state', async () => {
    assert.match(await ask('off'), /: ok$/)
    assert.deepEqual(await seenByBoth(), ['off', 'off'])
    assert.match(await ask('on'), /: ok$/)
    assert.deepEqual(await seenByBoth(), ['on', 'on'])
  })

  it('sees what power control has done', async () => {
    const record = await control.ended(await control.start('Off', [node]), 30)
    assert.equal(record.result, 'succeeded')
    assert.deepEqual(await seenByBoth(), ['off', 'off'])
    const again = await control.ended(await control.start('On', [node]), 30)
    assert.equal(again.result, 'succeeded')
    assert.deepEqual(await seenByBoth(), ['on', 'on'])
  })
})

/** Its program with the C library that it was built for, and else the system's libraries. */
async function redfishpowerCommand(context: Mocha.Context): Promise<[string, ...string[]]> {
  try {
    const program = join(await unpackedPackage('powerman', suite), 'usr/sbin/redfishpower')
    const library = join(await unpackedPackage('libc6', suite), 'usr/lib/x86_64-linux-gnu')
    const loader = join(library, 'ld-linux-x86-64.so.2')
    await Promise.all(
      [program, loader, '/lib/x86_64-linux-gnu/libjansson.so.4'].map((f) => access(f)),
    )
    return [loader, '--library-path', `${library}:/lib/x86_64-linux-gnu`, program]
  } catch (error) {
    process.stderr.write(`SKIPPED: no redfishpower from Debian's ${suite}: ${error}\n`)
    return context.skip()
  }
}
