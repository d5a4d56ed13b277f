import { migrate } from '../../remote-write/postgres/migrate.ts'
import { startTestControl, type TestControl } from '../support/control.ts'
import { type Fleet, startFleet } from '../support/control-fleet.ts'
import { startServer } from '../support/server.ts'

export const name = 'control'
export const title = 'Power control: acceptance, and a power-on of 1,000 nodes'
export const goals = [
  { key: 'accept_5000_seconds', most: 1, words: '5,000 targets accepted, seconds' },
  { key: 'power_on_ratio', most: 1.2, words: '1,000 nodes on, over the least time' },
]

const nodes = 1000
const secondsEach = 5
const inFlight = 250

/** Nodes whose BMCs need 5 s each, then acceptance while no device answers. */
export async function run(): Promise<Record<string, number>> {
  const server = await startServer({ durable: true })
  try {
    await migrate(server.url)
    const on = await powerOn(server.url)
    return { ...(await accept(server.url)), ...on }
  } finally {
    await server.close()
  }
}

async function accept(databaseUrl: string): Promise<Record<string, number>> {
  const devices = Array.from({ length: 5000 }, (_, i) => ({
    xname: `x${1000 + Math.floor(i / 64)}c${Math.floor(i / 8) % 8}s${i % 8}b0`,
    // The discard port of loopback: nobody is there.
    server: { url: 'http://127.0.0.1:9', certificate: '' },
  }))
  const control = await startTestControl({ databaseUrl, devices })
  const xnames = devices.map(({ xname }) => `${xname}n0`)
  try {
    // Others, so that nobody holds what is measured; what was accepted is left undone.
    await control.start('On', ['x9999c0s0b0n0'])
    const began = performance.now()
    await control.start('On', xnames)
    return { accept_5000_seconds: (performance.now() - began) / 1000 }
  } finally {
    await control.close()
  }
}

async function powerOn(databaseUrl: string): Promise<Record<string, number>> {
  const fleet = await startFleet({ bmcs: nodes, seconds: secondsEach, powerState: 'Off' })
  const control = await startFleetControl(fleet, databaseUrl)
  const least = Math.ceil(nodes / inFlight) * secondsEach
  try {
    const cpuBefore = process.cpuUsage()
    const began = performance.now()
    const id = await control.start('On', fleet.nodes)
    for (;;) {
      const { body } = await control.call('GET', `/transitions?limit=1`)
      if (body.transitions[0].transitionStatus === 'completed') break
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
    const seconds = (performance.now() - began) / 1000
    const { user, system } = process.cpuUsage(cpuBefore)
    const { succeeded } = (await control.ended(id)).taskCounts
    return {
      power_on_seconds: seconds,
      power_on_ratio: seconds / least,
      power_on_succeeded: succeeded,
      power_on_resets: (await fleet.resets()).length,
      power_on_cpu_seconds: (user + system) / 1e6,
    }
  } finally {
    await control.close()
    await fleet.close()
  }
}

async function startFleetControl(fleet: Fleet, databaseUrl: string): Promise<TestControl> {
  const devices = fleet.devices.map(({ xname, url }) => ({
    xname,
    server: { url, certificate: '' },
  }))
  const settings = { inFlight, timeoutSeconds: 20, confirmSeconds: 1, claimSeconds: 1 }
  return await startTestControl({ databaseUrl, devices, settings })
}
