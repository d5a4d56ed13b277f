import assert from 'node:assert/strict'
import fc from 'fast-check'
import { placeOfController } from '../../control/controller.ts'
import { type Operation, operations } from '../../control/operation.ts'
import { holdersOf, type OpenTask } from '../../control/reserve.ts'
import { xnameContains } from '../../exporter/inventory/xname.ts'
import '../support/properties.ts'

const slots = ['x1000c0s0', 'x1000c0s1']
const xnames = [
  ...['x1000c0', 'x1000c0b0', 'x1000c0r1', 'x1000c0r1b0'],
  ...slots.flatMap((slot) => [slot, `${slot}b0`, `${slot}b0n0`, `${slot}b0n1`]),
  'x1000c1s0b0n0',
]

/** Whether both may be at work at once; told in another way than `holdersOf` does. */
function isPeace(a: OpenTask, b: OpenTask): boolean {
  const harms = (outer: OpenTask, inner: OpenTask) =>
    outer.operation !== 'On' &&
    (xnameContains(outer.xname, inner.xname) || inner.device === outer.xname)
  return a.xname !== b.xname && !harms(a, b) && !harms(b, a)
}

function taskOf(xname: string, operation: Operation, transitionId: string): OpenTask {
  return { xname, operation, transitionId, device: placeOfController(xname) ?? '' }
}

const requests = fc.array(
  fc.record({
    operation: fc.constantFrom(...operations),
    xnames: fc.uniqueArray(fc.constantFrom(...xnames), { minLength: 1, maxLength: 4 }),
  }),
  { minLength: 1, maxLength: 6 },
)

describe('the components that open transitions hold', () => {
  it('never fight, and are refused to others only where they would', () => {
    fc.assert(
      fc.property(requests, (all) => {
        const open: OpenTask[] = []
        for (const [number, request] of all.entries()) {
          const { operation } = request
          const wanted = request.xnames.map((xname) => taskOf(xname, operation, String(number)))
          const holders = holdersOf(operation, wanted, open)
          for (const task of wanted) {
            const holder = holders.get(task.xname)
            if (holder !== undefined)
              assert.ok(!isPeace(task, holder), `${task.xname} ${operation}`)
            else for (const other of open) assert.ok(isPeace(task, other), `${task.xname}`)
          }
          open.push(...wanted.filter(({ xname }) => !holders.has(xname)))
        }
      }),
      { numRuns: 500 },
    )
  })
})
