import assert from 'node:assert/strict'
import fc from 'fast-check'
import { operations } from '../../control/operation.ts'
import { powerStates } from '../../control/system.ts'
import { endStates, hasEnded, newTask, type Task } from '../../control/task.ts'
import { nextStep, type Observation, type Step } from '../../control/transition.ts'

const start = new Date('2026-01-01T00:00:00Z')
const resetTypes = [
  ...['On', 'Off', 'ForceOff', 'GracefulShutdown', 'ForceRestart', 'forceOFF'],
  'GracefulRestart',
]

const anyTask = fc
  .record({
    operation: fc.constantFrom(...operations),
    deadlineMinutes: fc.integer({ min: -1, max: 10 }),
    deadlineSeconds: fc.constantFrom({}, { on: 7 }, { gracefulshutdown: 20, forceoff: 3 }),
    forced: fc.boolean(),
    isController: fc.boolean(),
    hasParents: fc.boolean(),
    hasChildren: fc.boolean(),
  })
  .map((asked) => newTask({ ...asked, expiresAt: new Date(start.getTime() + 24 * 3_600_000) }))

const reason = fc.constant('a reason')
/** What a read of the device can bring. */
const read: fc.Arbitrary<Observation> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('system' as const),
      powerState: fc.constantFrom(...powerStates, undefined),
      resetTypes: fc.subarray(resetTypes),
      lastRestart: fc.constantFrom(undefined, '2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'),
    }),
  },
  fc.record({ kind: fc.constant('silent' as const), reason, lasting: fc.constant(false) }),
)
/** What can become of a command. */
const outcome: fc.Arbitrary<Observation> = fc.oneof(
  fc.constant({ kind: 'accepted' as const }),
  fc.record({
    kind: fc.constant('busy' as const),
    reason,
    retryAfterSeconds: fc.integer({ min: 0, max: 100 }),
  }),
  fc.record({ kind: fc.constant('unknown' as const), reason }),
)
const any: fc.Arbitrary<Observation> = fc.oneof(
  read,
  outcome,
  fc.constant({ kind: 'abort' as const }),
  fc.constant({ kind: 'missing' as const }),
  fc.record({ kind: fc.constant('refused' as const), reason }),
)

interface Run {
  steps: Step[]
  seen: Observation[]
}

/** Follows a task as the runner does, until it ends. */
function follow(task: Task, next: () => Observation, nextOutcome: () => Observation): Run {
  const run: Run = { steps: [], seen: [] }
  let now = start
  let observation = next()
  while (run.steps.length < 20_000) {
    const step = nextStep(task, observation, { now, confirmSeconds: 10 })
    run.steps.push(step)
    run.seen.push(observation)
    task = step.task
    if (step.next === 'finish') return run
    if (step.next === 'wait') {
      assert.ok(step.until > now, 'a wait lies in the future')
      now = step.until
    }
    observation = step.next === 'reset' ? nextOutcome() : next()
  }
  throw new Error('no end')
}

describe('the next step of a task', () => {
  it('ends it, whatever the device does, with a bounded number of commands', () => {
    fc.assert(
      fc.property(anyTask, fc.infiniteStream(read), fc.infiniteStream(outcome), (task, r, o) => {
        const run = follow(
          task,
          () => r.next().value,
          () => o.next().value,
        )
        const last = run.steps.at(-1)
        assert.ok(last && hasEnded(last.task.state))
        for (const [index, step] of run.steps.entries()) {
          if (step.next !== 'reset' || run.seen[index + 1]?.kind !== 'accepted') continue
          const again = run.steps.slice(index + 1).find((later) => later.next === 'reset')
          const isOther = again === undefined || again.task.action !== step.task.action
          assert.ok(isOther, 'a command that was taken is not sent again')
        }
      }),
    )
  })

  it('leaves an ended task as it is', () => {
    const ended = fc
      .tuple(anyTask, fc.constantFrom(...endStates))
      .map(([task, state]): Task => ({ ...task, state }))
    fc.assert(
      fc.property(ended, any, fc.date({ noInvalidDate: true }), (task, observation, now) => {
        const step = nextStep(task, observation, { now, confirmSeconds: 1 })
        assert.equal(step.next, 'finish')
        assert.deepEqual(step.task, task)
      }),
    )
  })

  it('succeeds only where the device has reported the state, or was not to be asked', () => {
    fc.assert(
      fc.property(anyTask, fc.infiniteStream(any), fc.infiniteStream(outcome), (task, r, o) => {
        const { steps, seen } = follow(
          task,
          () => r.next().value,
          () => o.next().value,
        )
        if (steps.at(-1)?.task.state !== 'succeeded') return
        const last = seen.at(-1)
        if (last?.kind === 'accepted') {
          assert.equal(task.deadlineMinutes, 0)
          return assert.equal(steps.at(-1)?.task.confirmedBy, undefined)
        }
        assert.equal(last?.kind, 'system')
        const isOff = ['Off', 'Soft-Off', 'Force-Off'].includes(task.operation)
        assert.equal(last?.kind === 'system' && last.powerState, isOff ? 'Off' : 'On')
      }),
    )
  })

  it('never forces a Soft-Off, and turns nothing on that is to be off', () => {
    fc.assert(
      fc.property(anyTask, fc.infiniteStream(read), fc.infiniteStream(outcome), (task, r, o) => {
        const { steps } = follow(
          task,
          () => r.next().value,
          () => o.next().value,
        )
        const sent = steps.flatMap((step) => (step.next === 'reset' ? [step.resetType] : []))
        if (task.operation === 'Soft-Off') assert.ok(!sent.some((type) => /^force/i.test(type)))
        if (/Off$/.test(task.operation)) assert.ok(!sent.includes('On'))
        if (/Off$/.test(task.operation)) assert.ok(!sent.some((type) => /Restart$/.test(type)))
        if (task.operation === 'On') assert.ok(sent.every((type) => type === 'On'))
      }),
    )
  })
})
