import type { Pool } from 'pg'
import { isXname, parentXname, parseXname, xnameContains } from '../exporter/inventory/xname.ts'
import { RequestError } from '../exporter/service/request-error.ts'
import type { Operation } from './operation.ts'
import type { PlannedTask } from './plan.ts'
import type { Care } from './request.ts'
import { notAchieved } from './transition.ts'

/** A place that only `override` reaches. */
export interface Protection {
  within: string
  why: string
}

/**
 * Why a component is not to be touched: it is protected, or what is protected lies within it and
 * would lose its power. Undefined: it may be.
 */
export function protectionOf(
  xname: string,
  { takesPower, protections }: { takesPower: boolean; protections: readonly Protection[] },
): string | undefined {
  const found = protections.find(
    ({ within }) =>
      xnameContains(within, xname) || (takesPower && xname !== within && feeds(xname, within)),
  )
  return found && `Protected: ${found.within}, ${found.why}; override reaches it`
}

/** Whether `inner` loses its power with `outer`. A BMC's restart leaves its nodes on. */
function feeds(outer: string, inner: string): boolean {
  return isXname(outer) && !/BMC$/.test(parseXname(outer).type) && xnameContains(outer, inner)
}

/** Whether a component is off at some time of the operation. */
export function takesPower(operation: Operation): boolean {
  return operation !== 'On'
}

/** A job that holds a node now. */
export interface RunningJob {
  xname: string
  jobId: string
  user: string | null
}

const runningJobsSql = `
  select distinct on (xname) xname, job_id as "jobId", user_name as user
  from running_job
  order by xname, since, job_id`

/** A job that holds each node now, as far as the record knows. */
export async function runningJobs(pool: Pool): Promise<RunningJob[]> {
  return (await pool.query<RunningJob>(runningJobsSql)).rows
}

/** By component: a job that would lose a node with it. */
export function jobsWithin(jobs: readonly RunningJob[], xnames: ReadonlySet<string>) {
  const found = new Map<string, RunningJob>()
  for (const job of jobs) {
    for (let place: string | undefined = job.xname; place; place = parentXname(place)) {
      if (xnames.has(place) && feeds(place, job.xname)) found.set(place, job)
    }
  }
  return found
}

/** The tasks with those ended that may not be done; per component, as all of PCS's refusals are. */
export function refuseTasks(
  tasks: readonly PlannedTask[],
  faultOf: (xname: string) => string | undefined,
): PlannedTask[] {
  const faults = new Map<string, string>()
  for (const { xname, state } of tasks) {
    const fault = state === 'new' ? faultOf(xname) : undefined
    if (fault !== undefined) faults.set(xname, fault)
  }
  if (faults.size === 0) return [...tasks]
  return tasks.map((task) => {
    const error = faults.get(task.xname)
    return error === undefined
      ? task
      : { ...task, state: 'failed', description: notAchieved, error }
  })
}

export function jobFault({ xname, jobId, user }: RunningJob): string {
  const owner = user === null ? '' : ` of ${user}`
  return `Job ${jobId}${owner} runs on ${xname}; allowRunningJobs goes on all the same`
}

/**
 * More components than a site lets pass unasked must be meant.
 * @throws {RequestError} 400 naming the number to confirm.
 */
export function checkConfirmed(
  count: number,
  { confirm, dryRun }: Care,
  confirmAbove: number | undefined,
): void {
  if (dryRun) return
  if (confirm !== undefined && confirm !== count) {
    const message = `confirm: ${confirm}, but the request reaches ${count} components`
    throw new RequestError(400, 'not_confirmed', message)
  }
  if (confirmAbove === undefined || count <= confirmAbove || confirm === count) return
  const message = `${count} components, more than ${confirmAbove}: send confirm: ${count}`
  throw new RequestError(400, 'not_confirmed', message)
}
