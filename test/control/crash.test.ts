import assert from 'node:assert/strict'
import { createRandom } from '../../exporter/simulator/random.ts'
import { crash } from '../support/control-crash.ts'
import { cloneDatabase } from '../support/postgres.ts'

describe('power control that is killed at any moment', () => {
  it('loses no accepted transition, and sends no reset twice', async function killOften() {
    this.timeout(180_000)
    const random = createRandom(7)
    const { url } = await cloneDatabase()
    const run = await crash({ kills: 4, bmcs: 12, random: () => random.next() }, url)
    assert.ok(run.accepted >= 4 && run.resets > 0, JSON.stringify(run))
  })
})
