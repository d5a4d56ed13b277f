import { z } from 'zod'

/** Refusals by CAPMC's names of them (hms-capmc 1.x, power-control codes). */
type CapmcCode =
  | 'BAD_START_TIME'
  | 'BAD_END_TIME'
  | 'BAD_WINDOW_LEN'
  | 'WINDOW_LEN_OUT_OF_RANGE'
  | 'INVALID_ARGUMENTS'
  | 'NO_DATA'

/** Answered as `{e, err_msg}`, under status 200 where only the data is missing. */
export class CapmcError extends Error {
  readonly code: CapmcCode
  readonly status: number

  constructor(code: CapmcCode, message: string) {
    super(message)
    this.code = code
    this.status = code === 'NO_DATA' ? 200 : 400
  }
}

/** Which nodes are asked for, and when; all that is given must hold. */
export interface NodeQuery {
  start: Date | undefined
  end: Date | undefined
  nids: number[] | undefined
  xnames: string[] | undefined
  jobId: number | undefined
  /** Of a step, such as `0` or `batch`. */
  step: string | undefined
}

const nodeFields = z.object({
  start_time: z.string().optional(),
  end_time: z.string().optional(),
  time: z.string().optional(),
  nids: z.array(z.int().min(0)).max(100_000).optional(),
  xnames: z.array(z.string().min(1)).max(100_000).optional(),
  job_id: z.union([z.string(), z.int()]).optional(),
  apid: z.union([z.string(), z.int()]).optional(),
})

/**
 * The body of get_node_energy and get_node_energy_stats: it needs a time and nodes; a job or an
 * application counts as both.
 * @throws {CapmcError}
 */
export function parseNodeQuery(body: unknown): NodeQuery {
  const fields = parseFields(nodeFields, body)
  const query = nodesOf(fields)
  const start = parseTime(fields.start_time, 'start_time', 'BAD_START_TIME')
  const end = parseTime(fields.end_time, 'end_time', 'BAD_END_TIME')
  if (query.jobId === undefined) {
    if (!query.nids && !query.xnames) {
      throw new CapmcError('INVALID_ARGUMENTS', 'expected nids, xnames, job_id or apid')
    }
    if (!start) throw new CapmcError('BAD_START_TIME', 'expected start_time, job_id or apid')
    if (!end) throw new CapmcError('BAD_END_TIME', 'expected end_time, job_id or apid')
  }
  if (start && end && start >= end) {
    throw new CapmcError('BAD_END_TIME', `end_time ${fields.end_time} is not after start_time`)
  }
  return { ...query, start, end }
}

/**
 * The body of get_node_energy_counter: one way to name nodes, and a time, undefined for the newest.
 * @throws {CapmcError}
 */
export function parseCounterQuery(body: unknown): NodeQuery & { time: Date | undefined } {
  const fields = parseFields(nodeFields, body)
  const { nids, xnames, job_id, apid } = fields
  if ([nids, xnames, job_id, apid].filter((way) => way !== undefined).length !== 1) {
    throw new CapmcError('INVALID_ARGUMENTS', 'expected exactly one of nids, xnames, job_id, apid')
  }
  const time = parseTime(fields.time, 'time', 'BAD_START_TIME')
  return { ...nodesOf(fields), start: undefined, end: undefined, time }
}

function nodesOf({ nids, xnames, job_id, apid }: z.output<typeof nodeFields>) {
  const job = job_id === undefined ? undefined : /^(\d{1,15})$/.exec(String(job_id))
  if (job === null) throw new CapmcError('INVALID_ARGUMENTS', `job_id: no number: ${job_id}`)
  const step = apid === undefined ? undefined : /^(\d{1,15})\.(\w+)$/.exec(String(apid))
  if (step === null) {
    const message = `apid: expected a job and its step, such as 4711.0, got ${apid}`
    throw new CapmcError('INVALID_ARGUMENTS', message)
  }
  const number = job?.[1] ?? step?.[1]
  if (job && step && job[1] !== step[1]) {
    throw new CapmcError('INVALID_ARGUMENTS', `apid ${apid} is not of job ${job_id}`)
  }
  const jobId = number === undefined ? undefined : Number(number)
  return { nids, xnames, jobId, step: step?.[2] }
}

/** A window of system power, whole seconds. */
export interface PowerWindow {
  start: Date
  seconds: number
}

const powerFields = z.object({
  start_time: z.string().optional(),
  window_len: z.union([z.int(), z.string()]).optional(),
})

/**
 * The body or query of get_system_power: a window below 15 s becomes one of 15 s, and one that ends
 * within the last 15 s, when not all has arrived, is slid back.
 * @throws {CapmcError}
 */
export function parsePowerWindow(body: unknown, now: Date): PowerWindow {
  const { start_time, window_len } = parseFields(powerFields, body)
  const asked = Number(window_len ?? 15)
  if (!Number.isInteger(asked)) {
    throw new CapmcError('BAD_WINDOW_LEN', `window_len: expected seconds, got ${window_len}`)
  }
  if (asked < 2 || asked > 3600) {
    throw new CapmcError('WINDOW_LEN_OUT_OF_RANGE', `window_len: ${asked}, expected 2 to 3600`)
  }
  const seconds = Math.max(asked, 15)
  const start = start_time === 'now' ? undefined : start_time
  const from = parseTime(start, 'start_time', 'BAD_START_TIME') ?? now
  const latest = Math.floor(now.getTime() / 1000) * 1000 - (seconds + 15) * 1000
  return { start: new Date(Math.min(from.getTime(), latest)), seconds }
}

function parseFields<T>(schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(body ?? {})
  if (parsed.success) return parsed.data
  const faults = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
  throw new CapmcError('INVALID_ARGUMENTS', faults.join('; '))
}

/** `2026-11-22 10:00:00`, which is taken as UTC, or RFC 3339. */
function parseTime(text: string | undefined, field: string, code: CapmcCode): Date | undefined {
  if (text === undefined) return undefined
  const form = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d{1,6})?) ?(Z|[+-]\d\d:\d\d)?$/i
  const [, day, clock, zone = 'Z'] = form.exec(text) ?? []
  const time = new Date(`${day}T${clock}${zone}`)
  if (Number.isNaN(time.getTime())) {
    throw new CapmcError(code, `${field}: expected a time such as 2026-11-22 10:00:00, got ${text}`)
  }
  return time
}

/** As CAPMC writes times: UTC without a zone. */
export function capmcTime(time: Date): string {
  return time.toISOString().slice(0, 19).replace('T', ' ')
}
