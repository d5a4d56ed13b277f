import assert from 'node:assert/strict'
import fc from 'fast-check'
import { operations } from '../../control/operation.ts'
import { planTransition } from '../../control/plan.ts'
import { isController, isOutlet, placesOf, type Relative, turnOf } from '../../control/sequence.ts'
import type { PowerState } from '../../control/system.ts'
import { hasEnded, newTask, type Task } from '../../control/task.ts'
import { nextStep, type Observation } from '../../control/transition.ts'
import { xnameContains } from '../../exporter/inventory/xname.ts'

const start = new Date('2026-01-01T00:00:00Z')
const all = [
  'x1000c0',
  ...[0, 1].flatMap((s) => [
    `x1000c0s${s}`,
    `x1000c0s${s}b0`,
    ...[0, 1].map((n) => `x1000c0s${s}b0n${n}`),
  ]),
  'x1000c0r1',
  'x1000c0r1b0',
  'x1000m0p0v1',
  'x1000m0p0v2',
  'x3000m0p0v1',
]
const nodeTypes = ['On', 'Off', 'ForceOff', 'GracefulRestart']

interface Sent {
  xname: string
  resetType: string
  /** What every component was at that time. */
  states: ReadonlyMap<string, PowerState>
}

/** A whole transition against devices that obey, are deaf, or are out of reach. */
class World {
  readonly tasks = new Map<string, { task: Task; parents: readonly string[] }>()
  readonly states: Map<string, PowerState>
  readonly sent: Sent[] = []
  readonly #faults: ReadonlyMap<string, 'deaf' | 'silent'>
  #now = start

  constructor(
    operation: Task['operation'],
    xnames: readonly string[],
    states: Map<string, PowerState>,
    faults: ReadonlyMap<string, 'deaf' | 'silent'>,
  ) {
    this.states = states
    this.#faults = faults
    const expiresAt = new Date(start.getTime() + 3_600_000)
    for (const { xname, parents, hasChildren, isController } of placesOf(xnames, operation)) {
      const hasParents = parents.length > 0
      const given = { operation, deadlineMinutes: 5, expiresAt, hasParents, hasChildren }
      this.tasks.set(xname, { task: newTask({ ...given, isController }), parents })
    }
  }

  /** Lets one task whose turn it is do one step; false when none can. */
  step(choose: (count: number) => number): boolean {
    const open = [...this.tasks].filter(([, { task }]) => !hasEnded(task.state))
    const ready = open.filter(([xname]) => this.turn(xname) !== 'wait')
    if (ready.length === 0) return false
    const [xname, entry] = ready[choose(ready.length)] ?? ready[0] ?? []
    if (xname === undefined || entry === undefined) return false
    this.#now = new Date(this.#now.getTime() + 1000)
    const turn = this.turn(xname)
    const isFresh = entry.task.command === 'none'
    const observation: Observation =
      typeof turn !== 'string' && isFresh
        ? { kind: 'blocked', by: turn.blockedBy }
        : this.read(xname)
    this.#take(xname, observation)
    return true
  }

  turn(xname: string) {
    const { task, parents } = this.entry(xname)
    const relative = (other: string, relation: Relative['relation']): Relative => {
      const { state, phase, observed } = this.entry(other).task
      return { xname: other, relation, isOpen: !hasEnded(state), phase, observed }
    }
    const children = [...this.tasks].filter(([, other]) => other.parents.includes(xname))
    return turnOf(task, [
      ...parents.map((parent) => relative(parent, 'parent')),
      ...children.map(([child]) => relative(child, 'child')),
    ])
  }

  entry(xname: string) {
    const found = this.tasks.get(xname)
    assert.ok(found)
    return found
  }

  read(xname: string): Observation {
    if (this.#faults.get(xname) === 'silent') {
      return { kind: 'silent', reason: 'no answer', lasting: false }
    }
    const powerState = isController(xname) ? 'On' : this.states.get(xname)
    const resetTypes = isController(xname) ? ['ForceRestart'] : nodeTypes
    return { kind: 'system', powerState, resetTypes, lastRestart: this.#restarts.get(xname) ?? '0' }
  }

  readonly #restarts = new Map<string, string>()

  #take(xname: string, observation: Observation): void {
    const entry = this.entry(xname)
    const step = nextStep(entry.task, observation, { now: this.#now, confirmSeconds: 10 })
    entry.task = step.task
    if (step.next === 'wait' && step.until > this.#now) this.#now = step.until
    if (step.next !== 'reset') return
    this.sent.push({ xname, resetType: step.resetType, states: new Map(this.states) })
    if (this.#faults.get(xname) !== 'deaf') this.#obey(xname, step.resetType)
    this.#take(xname, { kind: 'accepted' })
  }

  /** What goes off takes all within it along. */
  #obey(xname: string, resetType: string): void {
    if (/Restart/.test(resetType)) this.#restarts.set(xname, this.#now.toISOString())
    else if (resetType === 'On') this.states.set(xname, 'On')
    else {
      for (const each of all) if (xnameContains(xname, each)) this.states.set(each, 'Off')
    }
  }
}

const world = fc
  .record({
    operation: fc.constantFrom(...operations),
    xnames: fc.subarray(all, { minLength: 1 }),
    on: fc.subarray(all),
    deaf: fc.subarray(all, { maxLength: 2 }),
    silent: fc.subarray(all, { maxLength: 2 }),
  })
  .map(({ operation, xnames, on, deaf, silent }) => {
    const states = new Map(all.map((xname): [string, PowerState] => [xname, 'Off']))
    for (const xname of on) states.set(xname, 'On')
    const faults = new Map<string, 'deaf' | 'silent'>()
    for (const xname of deaf) faults.set(xname, 'deaf')
    for (const xname of silent) faults.set(xname, 'silent')
    return { operation, world: new World(operation, xnames, states, faults) }
  })

function run(it: World, order: Iterator<number>): void {
  for (let steps = 0; steps < 5000; steps++) {
    if (!it.step((count) => (order.next().value ?? 0) % count)) return
  }
  assert.fail('no end')
}

const orders = fc.infiniteStream(fc.nat(1000))

describe('the order of a transition', () => {
  it('lets every task end, whatever is deaf, silent or named together', () => {
    fc.assert(
      fc.property(world, orders, ({ world: it }, order) => {
        run(it, order)
        for (const [xname, { task }] of it.tasks) assert.ok(hasEnded(task.state), xname)
      }),
    )
  })

  it('turns nothing on before each parent named with it is on, as its device said', () => {
    fc.assert(
      fc.property(world, orders, ({ world: it }, order) => {
        run(it, order)
        for (const { xname, resetType, states } of it.sent) {
          if (resetType !== 'On') continue
          for (const parent of it.entry(xname).parents) {
            if (isOutlet(parent) || isController(parent)) continue
            assert.equal(states.get(parent), 'On', `${xname} before ${parent}`)
          }
        }
      }),
    )
  })

  it('cuts no power over a component that is on, unless all is forced', () => {
    fc.assert(
      fc.property(world, orders, ({ operation, world: it }, order) => {
        fc.pre(operation !== 'Force-Off')
        run(it, order)
        for (const { xname, resetType, states } of it.sent) {
          if (!/Off$/.test(resetType)) continue
          const children = [...it.tasks].filter(([, { parents }]) => parents.includes(xname))
          for (const [child] of children) {
            if (isController(child)) continue
            assert.equal(states.get(child), 'Off', `${xname} over ${child}`)
          }
        }
      }),
    )
  })

  it('restarts a node and all around it, each once', () => {
    const xnames = ['x1000c0', 'x1000c0s0', 'x1000c0s0b0', 'x1000c0s0b0n0']
    fc.assert(
      fc.property(orders, (order) => {
        const states = new Map(all.map((xname): [string, PowerState] => [xname, 'On']))
        const it = new World('Soft-Restart', xnames, states, new Map())
        run(it, order)
        const sent = it.sent.map(({ xname, resetType }) => `${xname} ${resetType}`)
        assert.deepEqual(sent, [
          'x1000c0s0b0n0 Off',
          'x1000c0s0 Off',
          'x1000c0 Off',
          'x1000c0 On',
          'x1000c0s0 On',
          'x1000c0s0b0 ForceRestart',
          'x1000c0s0b0n0 On',
        ])
        for (const { task } of it.tasks.values()) assert.equal(task.state, 'succeeded')
      }),
    )
  })
})

describe('the plan of a transition', () => {
  const inventory = {
    controllerOf: (xname: string) => (xname.startsWith('x1000') ? 'x1000c0b0' : undefined),
    within: (place: string) => all.filter((each) => each !== place && xnameContains(place, each)),
  }
  const names = (request: object) =>
    planTransition({ operation: 'On', xnames: [], ...request }, inventory).map(({ xname }) => xname)

  it('adds all within a component when it is recursive, but no BMC', () => {
    assert.deepEqual(names({ xnames: ['x1000c0s0'], recursive: true }), [
      'x1000c0s0',
      'x1000c0s0b0n0',
      'x1000c0s0b0n1',
    ])
  })

  it('adds all around a component that has a switch, as prerequisites', () => {
    assert.deepEqual(names({ xnames: ['x1000c0s0b0n0'], prereq: true }), [
      'x1000c0',
      'x1000c0s0',
      'x1000c0s0b0n0',
    ])
  })

  it('names for each task those that it waits for', () => {
    const [slot, node] = planTransition(
      { operation: 'Off', xnames: ['x1000c0s0', 'x1000c0s0b0n0'] },
      inventory,
    )
    assert.deepEqual([slot?.parents, slot?.hasChildren, slot?.phase], [[], true, 'off'])
    assert.deepEqual([node?.parents, node?.hasChildren], [['x1000c0s0'], false])
  })
})
