import assert from 'node:assert/strict'
import { createPlant, rectifierEfficiency, rectifiers } from '../../exporter/simulator/physics.ts'
import { computeNodes, nodeControllers } from '../../exporter/simulator/system.ts'
import { type Action, type Job, Timeline } from '../../exporter/simulator/timeline.ts'
import { jobTruth } from '../../exporter/simulator/truth.ts'

const epoch = 1_772_000_000
const end = epoch + 3 * 3600

function tell(seed = 1, actions: readonly Action[] = [], jobsPerHour = 40): Timeline {
  return new Timeline({ epoch, workloads: [{ at: epoch, seed, jobsPerHour }], actions })
}

/** All of the story up to `end`. */
function told(...story: Parameters<typeof tell>): Timeline {
  const timeline = tell(...story)
  timeline.advance(end)
  return timeline
}

function outline(timeline: Timeline): string[] {
  return timeline.log.map(({ number, at, type, job }) => {
    const places = job.machines.map(({ xname }) => xname)
    return JSON.stringify([number, at, type, job.id, job.request.name, places])
  })
}

/** The integral of watts by the midpoint rule in steps of a twentieth of a second. */
function integrate(watts: (at: number) => number, from: number, to: number): number {
  const step = 0.05
  let joules = 0
  for (let i = 0; i < Math.round((to - from) / step); i++) {
    joules += watts(from + (i + 0.5) * step) * step
  }
  return joules
}

function closeTo(actual: number, expected: number, part: number): void {
  const off = Math.abs(actual - expected)
  assert.ok(off <= Math.abs(expected) * part, `${actual} is not within ${part} of ${expected}`)
}

describe('the simulated story', () => {
  it('is the same for the same seed, and another for another', () => {
    assert.deepEqual(outline(told(7)), outline(told(7)))
    assert.notDeepEqual(outline(told(7)), outline(told(8)))
  })

  it('does not depend on how often it is asked, nor on when actions became known', () => {
    const actions: Action[] = [
      { at: epoch + 1800, xname: 'x1000c0s4b0n0', resetType: 'ForceOff' },
      { at: epoch + 1802, xname: 'x1000c0s0b0n0', resetType: 'Off' },
      { at: epoch + 3000, xname: 'x1000c0s4b0n0', resetType: 'On' },
    ]
    const replayed = told(3, actions)
    const lived = tell(3)
    const coming = [...actions]
    for (let at = epoch; at < end; at += 77.7) {
      while (coming[0] && coming[0].at < at) {
        lived.advance(coming[0].at - 0.5)
        lived.act(coming[0])
        coming.shift()
      }
      lived.advance(at)
    }
    lived.advance(end)
    assert.deepEqual(outline(lived), outline(replayed))
    for (const { xname } of computeNodes) {
      assert.deepEqual(lived.track(xname).joulesAt(end), replayed.track(xname).joulesAt(end))
    }
  })

  it('has arrays, shared nodes, jobs of several nodes and jobs that fail', () => {
    const jobs = jobsOf(told())
    assert.ok(jobs.some(({ array }) => array))
    assert.ok(jobs.some(({ request }) => request.partition === 'shared' && request.cores < 128))
    assert.ok(jobs.some(({ machines }) => machines.length > 1))
    assert.ok(jobs.some(({ state }) => state === 'FAILED'))
    assert.ok(jobs.some(({ submittedAt, startedAt }) => startedAt > submittedAt))
  })

  it('never gives more cores of a node to jobs than it has', () => {
    const timeline = told(5, [], 400)
    for (const { xname } of computeNodes) {
      for (const { loads } of timeline.track(xname).between(epoch, end)) {
        assert.ok(loads.reduce((sum, { cores }) => sum + cores, 0) <= 128)
      }
    }
  })

  it('has a job that ends within two minutes of any moment', () => {
    const ends = told()
      .log.filter(({ type }) => type === 'end')
      .map(({ at }) => at)
    const gaps = ends.slice(1).map((at, index) => at - (ends[index] ?? at))
    assert.ok(Math.max(...gaps) < 120)
  })
})

function jobsOf(timeline: Timeline): Job[] {
  return timeline.log.filter(({ type }) => type === 'end').map(({ job }) => job)
}

describe('simulated energy', () => {
  const timeline = told(11)

  it('is the integral of power, of a node and of its parts', () => {
    for (const xname of ['x1000c0s0b0n0', 'x1000c0s4b0n0', 'x1000c0s7b0n1', 'x3000c0s17b0n0']) {
      const track = timeline.track(xname)
      const [from, to] = [epoch + 600, epoch + 2400]
      for (const part of ['node', 'cpu', 'memory'] as const) {
        const counted = track.joulesAt(to)[part] - track.joulesAt(from)[part]
        closeTo(
          counted,
          integrate((at) => track.wattsAt(at)[part], from, to),
          1e-4,
        )
      }
    }
  })

  it('never falls', () => {
    const track = timeline.track('x1000c0s1b0n0')
    let last = 0
    for (let at = epoch; at < end; at += 13) {
      const { node } = track.joulesAt(at)
      assert.ok(node >= last)
      last = node
    }
  })

  it('of all jobs on a node and of its idle part makes up the node', () => {
    for (const { xname, model, idleWatts } of computeNodes) {
      const track = timeline.track(xname)
      let idle = 0
      for (const { seconds, joules, loads } of track.between(epoch, end)) {
        const cores = loads.reduce((sum, load) => sum + load.cores, 0)
        idle += cores === 0 ? joules : idleWatts * seconds * (1 - cores / model.cores)
      }
      const jobs = [...new Set(timeline.log.map(({ job }) => job))]
        .flatMap((job) => jobTruth(timeline, job, end).nodes)
        .filter((node) => node.xname === xname)
      const all = jobs.reduce((sum, { joules }) => sum + joules, idle)
      closeTo(all, track.joulesAt(end).node, 1e-9)
    }
  })

  it('of an exclusive job is all that its nodes drew', () => {
    const job = jobsOf(timeline).find(({ request }) => request.partition === 'workq')
    assert.ok(job?.endedAt)
    const { startedAt, endedAt } = job
    const drawn = job.machines.map(({ xname }) => {
      const track = timeline.track(xname)
      return track.joulesAt(endedAt).node - track.joulesAt(startedAt).node
    })
    const { joules } = jobTruth(timeline, job, end)
    closeTo(
      joules,
      drawn.reduce((sum, node) => sum + node, 0),
      1e-9,
    )
  })
})

describe('the simulated plant', () => {
  const timeline = told(11)
  const plant = createPlant(timeline, 11)
  const at = epoch + 5000

  it('gives from its rectifiers what nodes, cards, switches and the CMM draw', () => {
    const nodes = computeNodes.map(({ xname }) => timeline.track(xname).wattsAt(at).node)
    const cards = nodeControllers.map(({ slot }) => plant.cardWatts(slot, at))
    const switches = [0, 1].map((index) => plant.switchWatts(index, at))
    const drawn = [...nodes, ...cards, ...switches, plant.cmmWatts(at)]
    const given = Array.from({ length: rectifiers }, (_, n) => plant.rectifierWatts(n, at).output)
    closeTo(total(given), total(drawn), 1e-12)
  })

  it('takes in what it gives divided by an efficiency that depends mildly on load', () => {
    const { input, output } = plant.rectifierWatts(2, at)
    closeTo(output / input, rectifierEfficiency(output), 1e-12)
    assert.ok(rectifierEfficiency(500) < rectifierEfficiency(3000))
    closeTo(rectifierEfficiency(3000), 0.97, 0.01)
  })

  it('warms its coolant by the heat over the flow', () => {
    const { supplyCelsius, returnCelsius } = plant.coolant(at)
    const heat = [0, 1, 2, 3].map((index) => plant.rectifierWatts(index, at).input)
    closeTo((returnCelsius - supplyCelsius) * 1.3 * 4186, total(heat), 1e-9)
  })

  it('feeds both supplies of a server from outlets, whose energy is their integral', () => {
    const outlets = ['x3000m0', 'x3000m1'].map((pdu) => plant.outlet(pdu, 1))
    const elapsed = at - epoch
    const server = timeline.track('x3000c0s17b0n0').wattsAt(at).node
    closeTo(total(outlets.map((outlet) => outlet.watts(elapsed))) * 0.92, server, 1e-9)
    for (const outlet of outlets) {
      const counted = outlet.joules(elapsed) - outlet.joules(elapsed - 900)
      closeTo(
        counted,
        integrate((time) => outlet.watts(time), elapsed - 900, elapsed),
        1e-4,
      )
    }
  })
})

function total(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0)
}
