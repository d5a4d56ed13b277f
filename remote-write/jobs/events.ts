import { z } from 'zod'
import { RequestError } from '../../exporter/service/request-error.ts'
import { heldNodes } from './allocation.ts'
import { countNodelist } from './nodelist.ts'

/** Bounds of one request: its body in bytes, its events, and the nodes of all its runs. */
export const eventLimits = {
  bodyBytes: 4 * 1024 * 1024,
  events: 5000,
  nodes: 200_000,
  /** Of one run. */
  steps: 10_000,
}

/** What a scheduler says happened to a job; `detail` is the rest, as it came. */
export interface JobEvent {
  cluster: string
  job_id: number
  time: Date
  type: 'start' | 'end' | 'run' | 'suspend' | 'resume'
  detail: EventDetail
}

/** PostgreSQL takes neither NUL nor half of a surrogate pair. */
const text = z
  .string()
  .max(1024)
  .refine((value) => !/\0|\p{Surrogate}/u.test(value), 'has a character that cannot be stored')
const name = text.min(1).max(256)
const number = z.int().min(0)
const time = z.iso.datetime({ offset: true, error: 'expected a time such as 2026-11-22T10:00:00Z' })

const nodelist = z
  .string()
  .max(1024 * 1024)
  .superRefine((list, context) => {
    try {
      countNodelist(list)
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message })
    }
  })

/** Which accelerators of each of these nodes a run has, as the node counts them from 0. */
const accelerators = z
  .array(z.object({ nodelist, indices: z.array(number.max(255)).max(256) }))
  .max(65_536)

const startDetail = z.object({
  submitted_at: time.optional(),
  user: name.optional(),
  uid: number.optional(),
  account: name.optional(),
  partition: name.optional(),
  name: text.optional(),
  qos: name.optional(),
  nodelist,
  /** On all its nodes. */
  cpus: number.max(2 ** 31 - 1).optional(),
  cpus_per_node: z.string().max(65_536).optional(),
  /** A node that is not in it has none; without it nobody knows. */
  accelerators: accelerators.optional(),
  restart_count: number.max(2 ** 31 - 1).optional(),
  array_job_id: number.optional(),
  array_task_id: number.optional(),
  het_job_id: number.optional(),
  het_job_offset: number.max(2 ** 31 - 1).optional(),
  source: name.refine((source) => source !== 'labels', 'is not for events to say').optional(),
})

const endDetail = z.object({
  state: name.optional(),
  exit_code: z.union([name, z.int().transform(String)], 'expected text or a number').optional(),
})

/** So that text sorts as the times do. */
const utcTime = time.transform((at) => new Date(at).toISOString())
const joules = z.number().min(0).max(Number.MAX_SAFE_INTEGER)

const step = endDetail.extend({
  step: name,
  name: text.optional(),
  started_at: utcTime,
  ended_at: utcTime.optional(),
  nodelist: nodelist.optional(),
  cpus: number.max(2 ** 31 - 1).optional(),
  scheduler_joules: joules.optional(),
})
export type StepDetail = z.output<typeof step>

/** A whole run as a scheduler's accounting has it; `time` is its start. */
const runDetail = startDetail.extend(endDetail.shape).extend({
  told_at: utcTime,
  ended_at: utcTime.optional(),
  db_index: number.optional(),
  suspended_seconds: number.optional(),
  /** On all its nodes. Where all runs on a node tell it, they share its energy by it. */
  cpu_seconds: z.number().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
  scheduler_joules: joules.optional(),
  steps: z.array(step).max(eventLimits.steps).optional(),
})

/** All that an event may say; which of it depends on its type. */
export type EventDetail = Partial<z.output<typeof runDetail>>

const about = { cluster: name, job_id: number, time: time.transform((at) => new Date(at)) }

const event = z.discriminatedUnion(
  'type',
  [
    startDetail.extend({ type: z.literal('start'), ...about }),
    endDetail.extend({ type: z.literal('end'), ...about }),
    runDetail.extend({ type: z.literal('run'), ...about }),
    z.object({ type: z.literal('suspend'), ...about }),
    z.object({ type: z.literal('resume'), ...about }),
  ],
  'expected "start", "end", "run", "suspend" or "resume"',
)

export const eventsBody = z.object({ events: z.array(event).min(1).max(eventLimits.events) })

/**
 * The events of a request's body. Keys we do not know are left out.
 * @throws {RequestError} 400 naming each fault by its path; 413 with more nodes than one request
 * may have.
 */
export function parseEvents(body: unknown): JobEvent[] {
  const result = eventsBody.safeParse(body)
  if (!result.success) {
    throw badEvents(
      result.error.issues.map(({ path, message }) => `${path.join('.') || 'the body'}: ${message}`),
    )
  }
  const { events } = result.data
  checkNodes(events)
  return events.map(({ type, cluster, job_id, time, ...detail }) => {
    return { type, cluster, job_id, time, detail }
  })
}

function checkNodes(events: z.output<typeof event>[]): void {
  const starts = events.map((event) => ('nodelist' in event ? event : undefined))
  const nodes = starts.reduce((sum, start) => sum + (start ? countNodes(start) : 0), 0)
  if (nodes > eventLimits.nodes) {
    const message = `${nodes} nodes in one request, at most ${eventLimits.nodes}: send fewer events`
    throw new RequestError(413, 'too_many_nodes', message)
  }
  const faults = starts.flatMap((start, i) => {
    const fault = start && cpusFault(start)
    return fault === undefined ? [] : [`events.${i}.cpus_per_node: ${fault}`]
  })
  if (faults.length > 0) throw badEvents(faults)
}

function countNodes({ nodelist, accelerators = [] }: z.output<typeof startDetail>): number {
  const lists = [nodelist, ...accelerators.map((each) => each.nodelist)]
  return lists.reduce((sum, list) => sum + countNodelist(list), 0)
}

function cpusFault({ nodelist, cpus_per_node }: z.output<typeof startDetail>): string | undefined {
  if (cpus_per_node === undefined) return undefined
  try {
    heldNodes(nodelist, cpus_per_node)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

function badEvents(faults: readonly string[]): RequestError {
  const shown = faults.slice(0, shownFaults).join('; ')
  const more = faults.length - shownFaults
  return new RequestError(400, 'bad_events', more > 0 ? `${shown}; and ${more} more` : shown)
}

const shownFaults = 20
