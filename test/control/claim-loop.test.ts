import assert from 'node:assert/strict'
import { Registry } from 'prom-client'
import { ClaimLoop, type SharedWork } from '../../control/claim-loop.ts'
import { capMetrics, registerWorkMetrics } from '../../control/metrics.ts'
import { createLog } from '../../exporter/service/log.ts'
import { until } from '../support/command.ts'

type Piece = { id: string; xname: string }

describe('the loop that claims work', () => {
  const piece: Piece = { id: '1', xname: 'x1000c0s0b0n0' }
  const options = {
    settings: { claimSeconds: 0.01, leaseSeconds: 30, openTasks: 10 },
    log: createLog('test', { level: 'silent', format: 'json' }),
  }

  function work(own: Partial<SharedWork<Piece>>): SharedWork<Piece> {
    return {
      name: 'piece',
      metrics: registerWorkMetrics(new Registry(), capMetrics, async () => 0),
      chores: [],
      claim: async () => [],
      renew: async (_, ids) => new Set(ids),
      release: async () => {},
      workOn: async () => ({ state: 'succeeded' }),
      fieldsOf: () => ({}),
      kindOf: () => 'patch',
      ...own,
    }
  }

  it('goes on with a piece that it claims again before it has let go of it', async () => {
    let [given, taken] = [0, 0]
    let [atOnce, most] = [0, 0]
    const loop = new ClaimLoop<Piece>(
      work({
        async claim() {
          if (given === 2 || given > taken) return []
          given++
          return [piece]
        },
        async workOn() {
          taken++
          most = Math.max(most, ++atOnce)
          // Passed on in the store, and claimed again from there, while we are still here.
          if (taken === 1) await until(() => given === 2 || undefined, 15)
          atOnce--
          return { state: taken === 1 ? 'in-progress' : 'succeeded' }
        },
      }),
      options,
    )
    await until(() => taken === 2 || undefined, 15)
    await loop.close()
    assert.equal(most, 1)
  })

  it('claims while something else that is done now and then takes long', async () => {
    let claims = 0
    let end = () => {}
    const isSlow = new Promise<void>((resolve) => {
      end = resolve
    })
    const loop = new ClaimLoop<Piece>(
      work({
        chores: [{ name: 'take long', everySeconds: 60, run: () => isSlow }],
        claim: async () => {
          claims++
          return []
        },
      }),
      options,
    )
    await until(() => claims > 2 || undefined, 15)
    end()
    await loop.close()
  })
})
