import type { PoolClient } from 'pg'
import { takesPower } from './guard.ts'
import type { Operation } from './operation.ts'
import type { PlannedTask } from './plan.ts'
import { ancestorsOf } from './sequence.ts'
import { notAchieved } from './transition.ts'

/** A task that has not ended, of any transition. */
export interface OpenTask {
  xname: string
  /** xname of the controller. */
  device: string
  operation: Operation
  transitionId: string
}

type Wanted = Pick<PlannedTask, 'xname' | 'device'>

/**
 * By component of a request, an open task that it would fight with: one on the same component, one
 * around it that takes its power or restarts its controller, and, where the request does that, one
 * on a component within. On disturbs nothing within it.
 */
export function holdersOf(
  operation: Operation,
  wanted: readonly Wanted[],
  open: readonly OpenTask[],
): Map<string, OpenTask> {
  const at = new Map(open.map((task) => [task.xname, task]))
  const within = new Map<string, OpenTask>()
  if (takesPower(operation)) {
    for (const task of open) for (const place of placesAround(task)) within.set(place, task)
  }
  const holderOf = (task: Wanted) => {
    const around = placesAround(task).map((place) => at.get(place))
    return (
      at.get(task.xname) ??
      around.find((holder) => holder !== undefined && takesPower(holder.operation)) ??
      within.get(task.xname)
    )
  }
  return new Map(
    wanted.flatMap((task): [string, OpenTask][] => {
      const holder = holderOf(task)
      return holder === undefined ? [] : [[task.xname, holder]]
    }),
  )
}

/** What a component lies in, and the controller that it is switched by. */
function placesAround({ xname, device }: Wanted): string[] {
  const around = ancestorsOf(xname)
  return device === undefined || device === xname ? around : [device, ...around]
}

/** Two requests for one cabinet are stored one after the other; so many may be at once. */
const lockCount = 64
/** Chosen at random; no other part of Joulebridge uses this number. */
const lockClass = 2_028_007

const lockSql = 'select pg_advisory_xact_lock($1, number) from unnest($2::int[]) as number'

/** Until the end of the transaction nobody else opens tasks in these components' cabinets. */
export async function lockCabinets(client: PoolClient, xnames: readonly string[]): Promise<void> {
  const locks = new Set(xnames.map((xname) => Number(cabinetNumberOf(xname)) % lockCount))
  // In the same order for all, so that two of them cannot deadlock.
  await client.query(lockSql, [lockClass, [...locks].sort((a, b) => a - b)])
}

const openTasksSql = `
  select xname, device, operation, transition_id as "transitionId"
  from task join transition using (transition_id)
  where state in ('new', 'in-progress') and substring(xname from '^x([0-9]+)') = any ($1)`

/** The tasks with those refused that another transition is in the way of. */
export async function refuseHeld(
  client: Pick<PoolClient, 'query'>,
  operation: Operation,
  tasks: readonly PlannedTask[],
): Promise<PlannedTask[]> {
  const wanted = tasks.filter(({ state }) => state === 'new')
  const cabinets = [...new Set(wanted.map(({ xname }) => cabinetNumberOf(xname)))]
  const open = (await client.query<OpenTask>(openTasksSql, [cabinets])).rows
  const holders = holdersOf(operation, wanted, open)
  return tasks.map((task) => {
    const holder = task.state === 'new' ? holders.get(task.xname) : undefined
    if (holder === undefined) return task
    const isSame = holder.xname === task.xname
    return {
      ...task,
      state: 'failed',
      description: isSame ? notAchieved : `${notAchieved}: ${holder.xname} is at work`,
      error: 'Unable to reserve component',
      heldBy: holder.transitionId,
    }
  })
}

function cabinetNumberOf(xname: string): string {
  return /^x(\d+)/.exec(xname)?.[1] ?? ''
}
