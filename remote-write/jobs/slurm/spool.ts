import { z } from 'zod'

/** An event as the API of remote-write takes it. */
export type Told = Record<string, unknown> & { type: string; cluster: string; job_id: number }

/** Which accelerators of which nodes a run has, as an event tells it. */
export type Held = z.output<typeof held>
const held = z.array(z.object({ nodelist: z.string(), indices: z.array(z.number()) }))

/** Longest text and longest name that the API takes. */
const longest = { text: 1024, name: 256 }

/**
 * The event in a file of the hook: `NAME=value` with a NUL after each, first the time, last a mark.
 * Names are those of slurmctld's PrologSlurmctld and EpilogSlurmctld (Slurm 22.05 to 25.11).
 * @throws {Error} saying what is missing or malformed.
 */
export function parseSpoolFile(bytes: Buffer): Told {
  const words = bytes.toString('utf8').split('\0')
  if (words.pop() !== '' || words.at(-1) !== 'JOULEBRIDGE_END=1') throw new Error('is cut off')
  const values = new Map(words.map((word) => split(word)))
  const about = {
    cluster: needed(values, 'SLURM_CLUSTER_NAME'),
    job_id: numberOf('SLURM_JOB_ID', needed(values, 'SLURM_JOB_ID')),
  }
  const context = needed(values, 'SLURM_SCRIPT_CONTEXT')
  if (context === 'prolog_slurmctld') return { type: 'start', ...about, ...startOf(values) }
  if (context === 'epilog_slurmctld') return { type: 'end', ...about, ...endOf(values) }
  throw new Error(`SLURM_SCRIPT_CONTEXT ${JSON.stringify(context)} is not one of slurmctld's`)
}

function startOf(values: ReadonlyMap<string, string>): object {
  const text = (name: string) => values.get(name) || undefined
  const number = (name: string) => optionalNumber(name, text(name))
  return {
    time: instant(values, 'SLURM_JOB_START_TIME'),
    source: 'slurm-hook',
    user: cut(text('SLURM_JOB_USER'), longest.name),
    uid: number('SLURM_JOB_UID'),
    account: cut(text('SLURM_JOB_ACCOUNT'), longest.name),
    partition: cut(text('SLURM_JOB_PARTITION'), longest.name),
    name: cut(values.get('SLURM_JOB_NAME'), longest.text),
    nodelist: values.get('SLURM_JOB_NODELIST') ?? '',
    cpus_per_node: text('SLURM_JOB_CPUS_PER_NODE'),
    accelerators: heldOf(values.get(heldName)),
    restart_count: number('SLURM_JOB_RESTART_COUNT'),
    array_job_id: number('SLURM_ARRAY_JOB_ID'),
    array_task_id: number('SLURM_ARRAY_TASK_ID'),
    het_job_id: number('SLURM_HET_JOB_ID'),
    het_job_offset: number('SLURM_HET_JOB_OFFSET'),
  }
}

/** Added by us: the hook cannot know. */
const heldName = 'JOULEBRIDGE_ACCELERATORS'

/** The file with what was found of its run, null for nothing, so that it is asked for once. */
export function withHeld(bytes: Buffer, found: Held | null): string {
  return `${heldName}=${JSON.stringify(found)}\0${bytes.toString('utf8')}`
}

/** Whether nobody was asked yet what its run has. */
export function lacksHeld(bytes: Buffer): boolean {
  return !bytes.toString('utf8').startsWith(`${heldName}=`)
}

function heldOf(text: string | undefined): Held | undefined {
  return text === undefined ? undefined : (held.nullable().parse(JSON.parse(text)) ?? undefined)
}

function endOf(values: ReadonlyMap<string, string>): object {
  const code = values.get('SLURM_JOB_EXIT_CODE2')
  return { time: instant(values, 'SLURM_JOB_END_TIME'), ...(code && { exit_code: code }) }
}

/** Slurm's own time where it tells one (since 23.02), else the hook's clock. */
function instant(values: ReadonlyMap<string, string>, name: string): string {
  const own = values.get(name)
  const text = own !== undefined && /^[1-9]\d*$/.test(own) ? own : values.get('JOULEBRIDGE_TIME')
  const [, whole, fraction = ''] = /^(\d{1,11})(?:\.(\d{1,9}))?$/.exec(text ?? '') ?? []
  if (whole === undefined) throw new Error(`JOULEBRIDGE_TIME ${JSON.stringify(text)} is no time`)
  return new Date(Number(`${whole}.${fraction.slice(0, 3) || 0}`) * 1000).toISOString()
}

function split(word: string): [name: string, value: string] {
  const at = word.indexOf('=')
  return at < 0 ? [word, ''] : [word.slice(0, at), word.slice(at + 1)]
}

function needed(values: ReadonlyMap<string, string>, name: string): string {
  const value = values.get(name)
  if (value === undefined || value === '') throw new Error(`has no ${name}`)
  return value
}

function numberOf(name: string, text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new Error(`${name} ${JSON.stringify(text)} is not a number`)
  return Number(text)
}

function optionalNumber(name: string, text: string | undefined): number | undefined {
  return text === undefined ? undefined : numberOf(name, text)
}

/** Text that the API takes: no NUL, no half of a surrogate pair, not too long. */
export function cut(text: string | undefined, length: number): string | undefined {
  return text?.slice(0, length).replaceAll(/\0|\p{Surrogate}/gu, '\ufffd')
}
