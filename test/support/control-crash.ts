import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TestControlOptions } from './control.ts'
import { startFleet } from './control-fleet.ts'
import { type ControlProcess, spawnControl } from './control-process.ts'

export interface CrashRun {
  kills: number
  accepted: number
  resets: number
}

const operations = ['On', 'Off', 'Hard-Restart', 'Force-Off'] as const

/**
 * Kills a control process again and again at random moments over a mixed load, starts it anew on
 * the same database, and checks in the end that every transition that was accepted has ended and
 * that no node was told to become what it was, or was becoming, already.
 */
export async function crash(
  { kills, bmcs, random }: { kills: number; bmcs: number; random: () => number },
  databaseUrl: string,
): Promise<CrashRun> {
  const fleet = await startFleet({ bmcs, seconds: 0.3, powerState: 'Off' })
  const devices = fleet.devices.map(({ xname, url }) => ({
    xname,
    server: { url, certificate: '' },
  }))
  const options: TestControlOptions = {
    databaseUrl,
    devices,
    settings: { leaseSeconds: 1, claimSeconds: 0.1, confirmSeconds: 0.1 },
  }
  const accepted: string[] = []
  try {
    for (let kill = 0; kill < kills; kill++) {
      const control = await spawnControl(options)
      const posting = post(control, { nodes: fleet.nodes, accepted, random })
      await sleep(random() * 1500)
      await control.kill()
      await posting
    }
    const last = await spawnControl(options)
    for (const id of accepted) {
      const record = await last.ended(id, 60)
      assert.equal(record.transitionStatus, 'completed', id)
    }
    await last.kill()
    const resets = await fleet.resets()
    for (const { bmc, resetType, stateBefore } of resets) {
      const wanted = resetType === 'On' ? 'Off' : 'On'
      assert.equal(stateBefore, wanted, `BMC ${bmc} was told ${resetType} while ${stateBefore}`)
    }
    return { kills, accepted: accepted.length, resets: resets.length }
  } finally {
    await fleet.close()
  }
}

/** Asks for transitions of some nodes at a time until the process is gone. */
async function post(
  control: ControlProcess,
  { nodes, accepted, random }: { nodes: string[]; accepted: string[]; random: () => number },
): Promise<void> {
  for (;;) {
    const operation = operations[Math.floor(random() * operations.length)] ?? 'On'
    const xnames = nodes.filter(() => random() < 0.2)
    const id = await control.start(operation, xnames).catch(() => undefined)
    if (id === undefined) return
    accepted.push(id)
    await sleep(random() * 300)
  }
}
