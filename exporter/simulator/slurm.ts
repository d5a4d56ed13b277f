import { setTimeout as delay } from 'node:timers/promises'
import fetch from 'node-fetch'
import { withDeadline } from '../service/deadline.ts'
import { errorText, type Logger } from '../service/log.ts'
import type { Seconds } from './load.ts'
import type { Job, JobEvent, Timeline } from './timeline.ts'
import { isoTime } from './truth.ts'

export interface TellerOptions {
  timeline: Timeline
  /** Base URL of remote-write. */
  url: string
  /** How many events of the story were accepted earlier. */
  accepted: number
  /** Now, with all that was due by now having happened. */
  asOf: () => Seconds
  /** Called with how many events of the story are accepted. */
  onAccepted: (events: number) => void
  signal: AbortSignal
  log: Logger
}

const batchSize = 500
const pauseMs = 500
const longestWaitMs = 15_000
const answerTimeoutMs = 30_000

/**
 * Tells the bridge when jobs start and end, as the plug-in for Slurm does, until `signal`. What is
 * not accepted is told again: events are told at least once, and in order.
 */
export async function tellJobs(options: TellerOptions): Promise<void> {
  const { timeline, signal, asOf, log } = options
  let { accepted } = options
  let failures = 0
  while (!signal.aborted) {
    asOf()
    const events = eventsFrom(timeline.log, accepted)
    const error = events.length > 0 ? await post(events, options) : undefined
    if (error === undefined) {
      failures = 0
      accepted = (events.at(-1)?.number ?? accepted - 1) + 1
      options.onAccepted(accepted)
    } else if (!signal.aborted) {
      failures++
      log.warn({ error, attempts: failures }, 'job events not accepted yet')
    }
    if (error !== undefined || events.length < batchSize) await pause(failures, signal)
  }
}

function eventsFrom(log: readonly JobEvent[], number: number): readonly JobEvent[] {
  const first = Math.max(0, number - (log[0]?.number ?? 0))
  return log.slice(first, first + batchSize)
}

async function pause(failures: number, signal: AbortSignal): Promise<void> {
  const waitMs = Math.min(pauseMs * 2 ** failures, longestWaitMs)
  await delay(waitMs, undefined, { signal }).catch(() => undefined)
}

/** Answers why the events were not accepted; undefined when they were. */
async function post(
  events: readonly JobEvent[],
  { url, signal }: TellerOptions,
): Promise<string | undefined> {
  try {
    return await withDeadline(answerTimeoutMs, [signal], async (deadline) => {
      const response = await fetch(`${url}/api/v1/jobs/events`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ events: events.map(eventBody) }),
        signal: deadline,
      })
      const text = await response.text()
      return response.ok ? undefined : `HTTP ${response.status} ${text.slice(0, 300)}`
    })
  } catch (error) {
    return errorText(error)
  }
}

function eventBody({ type, at, job }: JobEvent): object {
  const about = { type, cluster: 'simulated', job_id: job.id, time: isoTime(at) }
  if (type === 'end') return { ...about, state: job.state, exit_code: job.exitCode }
  const { request, machines, array } = job
  return {
    ...about,
    submitted_at: isoTime(job.submittedAt),
    user: request.user,
    uid: request.uid,
    account: request.account,
    partition: request.partition,
    name: request.name,
    nodelist: nodeList(job),
    cpus_per_node:
      machines.length > 1 ? `${request.cores}(x${machines.length})` : `${request.cores}`,
    restart_count: 0,
    ...(array && { array_job_id: array.jobId, array_task_id: array.taskId }),
  }
}

/** The nodes as Slurm writes them: `nid000001`, `nid[000002-000003,000005]`. */
function nodeList({ machines }: Job): string {
  const numbers = machines.map(({ node = '' }) => Number(node.slice(3)))
  const ranges: [first: number, last: number][] = []
  for (const number of numbers) {
    const range = ranges.at(-1)
    if (range && range[1] === number - 1) range[1] = number
    else ranges.push([number, number])
  }
  const digits = (number: number) => String(number).padStart(6, '0')
  const [only] = numbers
  if (numbers.length === 1 && only !== undefined) return `nid${digits(only)}`
  const texts = ranges.map(([first, last]) =>
    first === last ? digits(first) : `${digits(first)}-${digits(last)}`,
  )
  return `nid[${texts.join(',')}]`
}
