import type { Look } from './follow.ts'
import { cut, type Told } from './spool.ts'

/** Columns of sacct, as `sacct --helpformat` of Slurm 22.05 names them. */
export const columns = [
  ...['Cluster', 'JobIDRaw', 'JobID', 'DBIndex', 'User', 'UID', 'Account', 'Partition', 'QOS'],
  ...['JobName', 'State', 'ExitCode', 'Submit', 'Start', 'End', 'Suspended', 'NCPUS', 'NodeList'],
  ...['ConsumedEnergyRaw', 'TotalCPU', 'ElapsedRaw'],
] as const

type Row = Record<(typeof columns)[number], string>

/** What the API takes of one run. */
const mostSteps = 10_000

export interface ReadRun {
  /** An event of type run, without `told_at`. */
  run: Told
  look: Look
}

export interface ReadRuns {
  runs: ReadRun[]
  /** Rows that are malformed, and runs whose steps are too many: for people to know. */
  faults: string[]
}

/**
 * The runs in what `sacct -a -D -n -p` prints with `columns`, times in seconds since 1970, and a
 * delimiter that nothing else contains: names may hold anything, line ends too. Runs that never
 * got nodes are left out. A state's tail, as in `CANCELLED by 52002`, is cut.
 */
export function parseSacct(text: string, delimiter: string): ReadRuns {
  const read: ReadRuns = { runs: [], faults: [] }
  let steps: object[] | undefined
  for (const row of rowsOf(text, delimiter)) {
    const [, id, step] = /^(\d{1,15})(?:\.(.+))?$/s.exec(row.JobIDRaw) ?? []
    if (id === undefined) {
      read.faults.push(`sacct: JobIDRaw ${JSON.stringify(row.JobIDRaw.slice(0, 80))} is no id`)
    } else if (step === undefined) {
      steps = startedAt(row) === undefined ? undefined : []
      if (steps) read.runs.push({ run: { ...runOf(row, Number(id)), steps }, look: lookAt(row) })
    } else if (steps?.length === mostSteps) {
      read.faults.push(`job ${id} has more than ${mostSteps} steps: step ${step} is left out`)
    } else if (row.Start !== '' && timeOf(row.Start) !== undefined) {
      steps?.push(stepOf(row, step))
    }
  }
  return read
}

function rowsOf(text: string, delimiter: string): Row[] {
  const cells = text.split(delimiter)
  const rows: Row[] = []
  for (let i = 0; i + columns.length < cells.length; i += columns.length) {
    const row = columns.map((name, k) => [name, cells[i + k] ?? ''])
    // Each row ends with a delimiter and a line end.
    rows.push({ ...Object.fromEntries(row), Cluster: (cells[i] ?? '').replace(/^\n/, '') })
  }
  return rows
}

/** When the run got nodes; undefined: it never did, or has not yet. */
function startedAt({ Start, NodeList }: Row): string | undefined {
  const none = ['', 'None assigned', 'None', '(null)'].includes(NodeList)
  return none ? undefined : timeOf(Start)
}

function runOf(row: Row, id: number): Told {
  const [, array, task] = /^(\d+)_(\d+)$/.exec(row.JobID) ?? []
  const [, het, offset] = /^(\d+)\+(\d+)$/.exec(row.JobID) ?? []
  return {
    type: 'run',
    cluster: row.Cluster,
    job_id: id,
    time: startedAt(row),
    source: 'sacct',
    ...outcomeOf(row),
    submitted_at: timeOf(row.Submit),
    db_index: countOf(row.DBIndex),
    user: cut(row.User, 256) || undefined,
    uid: countOf(row.UID),
    account: cut(row.Account, 256) || undefined,
    partition: cut(row.Partition, 256) || undefined,
    qos: cut(row.QOS, 256) || undefined,
    name: cut(row.JobName, 1024),
    suspended_seconds: secondsOf(row.Suspended),
    // 0 where no step was accounted.
    cpu_seconds: secondsOf(row.TotalCPU) || undefined,
    ...(array !== undefined && { array_job_id: Number(array), array_task_id: Number(task) }),
    ...(het !== undefined && { het_job_id: Number(het), het_job_offset: Number(offset) }),
  }
}

function lookAt({ State, Start, ElapsedRaw, Suspended }: Row): Look {
  return {
    isSuspended: State === 'SUSPENDED',
    startedAt: countOf(Start) ?? 0,
    elapsed: countOf(ElapsedRaw) ?? 0,
    suspended: secondsOf(Suspended) ?? 0,
  }
}

function stepOf(row: Row, step: string): object {
  const started_at = timeOf(row.Start)
  return { step: cut(step, 256), name: cut(row.JobName, 1024), started_at, ...outcomeOf(row) }
}

function outcomeOf(row: Row): object {
  const state = row.State.replace(/ by \d+$/, '')
  return {
    ended_at: timeOf(row.End),
    state: cut(state, 256) || undefined,
    exit_code: cut(row.ExitCode, 256) || undefined,
    nodelist: row.NodeList,
    cpus: countOf(row.NCPUS),
    scheduler_joules: countOf(row.ConsumedEnergyRaw),
  }
}

function timeOf(text: string): string | undefined {
  const seconds = countOf(text)
  // 0 stands for "not yet", as Unknown and None do.
  return seconds === undefined || seconds === 0 ? undefined : new Date(seconds * 1000).toISOString()
}

/** Not a count: empty, or a number that stands for "not set" at the end of 64 bits. */
function countOf(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

/** `[[days-]hours:]minutes:seconds`, of CPU time with fractions. */
function secondsOf(text: string): number | undefined {
  const found = /^(?:(?:(\d+)-)?(\d+):)?(\d\d):(\d\d(?:\.\d+)?)$/.exec(text)
  if (found === null) return undefined
  const [days, hours, minutes, seconds] = found.slice(1).map((part = '0') => Number(part))
  return (((days ?? 0) * 24 + (hours ?? 0)) * 60 + (minutes ?? 0)) * 60 + (seconds ?? 0)
}
