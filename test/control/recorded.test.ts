import assert from 'node:assert/strict'
import { startTestControl } from '../support/control.ts'
import { describeMockups, serveMockup } from '../support/mockups.ts'
import { cloneDatabase } from '../support/postgres.ts'

describeMockups('the power status of recorded devices', () => {
  const places = {
    EX235a: 'x1000c0s0b0',
    EX425: 'x1000c0s1b0',
    DL325: 'x3000c0s1b0',
    Gigabyte: 'x3000c0s2b0',
    CMM: 'x1000c0b0',
  }

  it('names each component, its state and what it allows', async () => {
    const found = await Promise.all(
      Object.entries(places).map(async ([kind, xname]) => ({
        xname,
        server: await serveMockup(kind),
      })),
    )
    const { url } = await cloneDatabase()
    const control = await startTestControl({ databaseUrl: url, devices: found })
    try {
      const { body } = await control.call('GET', '/power-status')
      type Status = { xname: string; powerState: string; supportedPowerTransitions: string[] }
      const shown = body.status.map((status: Status) => {
        const { xname, powerState, supportedPowerTransitions } = status
        return `${xname} ${powerState} ${supportedPowerTransitions.length}`
      })
      assert.deepEqual(shown, [
        'x1000c0 on 7',
        'x1000c0b0 on 1',
        'x1000c0s0 on 7',
        'x1000c0s0b0 on 1',
        'x1000c0s0b0n0 on 7',
        'x1000c0s1 on 7',
        'x1000c0s1b0 on 1',
        'x1000c0s1b0n0 on 7',
        'x1000c0s1b0n1 on 7',
        'x3000c0s1b0 on 1',
        'x3000c0s1b0n0 on 7',
        'x3000c0s2b0 on 1',
        'x3000c0s2b0n0 on 7',
      ])
    } finally {
      await control.close()
      await Promise.all(found.map(({ server }) => server.close()))
    }
  })
})
