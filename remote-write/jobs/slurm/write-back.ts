import { randomBytes } from 'node:crypto'
import { appendFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { Logger } from '../../../exporter/service/log.ts'
import { askBridge, type Bridge } from './deliver.ts'
import { countPass } from './metrics.ts'
import { type Programs, runProgram } from './program.ts'
import type { SlurmSettings } from './settings.ts'

export interface WriteBackOptions {
  settings: SlurmSettings['writeBack']
  programs: Programs
  bridge: Bridge
  log: Logger
  now: () => Date
}

/** A run that ended, as sacct has it: of several runs of a job the newest. */
export interface EndedRun {
  cluster: string
  jobId: number
  comment: string
  /** Slurm's own energy; empty: none. */
  joules: string
}

const jobAnswer = z.object({
  energy: z.object({
    joules: z.number().nullable(),
    coverage_ratio: z.number(),
    method: z.string(),
  }),
})
export type MeasuredEnergy = z.output<typeof jobAnswer>['energy']

const passEveryMs = 60_000
/** Slurm before this cannot change the energy of a job ("alter the allocated TRES of a job"). */
const firstTresRelease = [25, 11] as const

/**
 * Writes the energy of ended jobs into Slurm's accounting, until the bridge's signal. What is there
 * already is left alone, so it may be stopped and started at will; the values that are replaced are
 * kept in `originalsFile` first.
 * @throws {Error} when the settings ask for nothing, or for what this Slurm cannot do.
 */
export async function writeBack(options: WriteBackOptions): Promise<void> {
  const { settings, programs, bridge, log } = options
  if (settings.to === 'nothing') throw new Error('slurm.write_back.to is nothing: nothing to do')
  if (settings.to === 'tres') await requireTres(programs)
  const done = new Set<string>()
  while (!bridge.signal.aborted) {
    await writePass(options, done).then(
      () => countPass(bridge.metrics, true),
      (error: unknown) => {
        countPass(bridge.metrics, false)
        if (!bridge.signal.aborted) log.warn({ error }, 'energies not written back')
      },
    )
    await sleep(passEveryMs, undefined, { signal: bridge.signal }).catch(() => {})
  }
}

/** Goes once through the jobs that ended; `done` has those that need no other look. */
export async function writePass(options: WriteBackOptions, done: Set<string>): Promise<number> {
  const { settings, bridge, log, programs } = options
  const runs = await endedRuns(options)
  let written = 0
  for (const run of runs) {
    const key = `${run.cluster} ${run.jobId}`
    if (done.has(key) || bridge.signal.aborted) continue
    const energy = await energyOf(run, bridge)
    const change = energy && changeOf(run, energy, settings.to)
    if (change !== undefined) {
      await keepOriginal(settings.originalsFile, run, options.now())
      await runProgram('sacctmgr', modifyArguments(run, change), programs)
      log.debug({ cluster: run.cluster, job_id: run.jobId, change }, 'energy written back')
      written++
      const pauseMs = 60_000 / settings.perMinute
      await sleep(pauseMs, undefined, { signal: bridge.signal }).catch(() => {})
    }
    done.add(key)
  }
  // What left the window is asked for no more.
  const keys = new Set(runs.map(({ cluster, jobId }) => `${cluster} ${jobId}`))
  for (const key of done) if (!keys.has(key)) done.delete(key)
  return written
}

/** @throws {Error} when the energy of a job cannot be written. */
export async function requireTres(programs: Programs): Promise<void> {
  const said = await runProgram('sacctmgr', ['--version'], programs)
  const [, major = 0, minor = 0] = (/(\d+)\.(\d+)/.exec(said) ?? []).map(Number)
  const [needsMajor, needsMinor] = firstTresRelease
  if (major > needsMajor || (major === needsMajor && minor >= needsMinor)) return
  throw new Error(`slurm.write_back.to is tres, which needs Slurm 25.11; this is ${said.trim()}`)
}

/** Without `-D` sacct has only the newest run of a job, which is the one that sacctmgr changes. */
async function endedRuns({ settings, programs, now }: WriteBackOptions): Promise<EndedRun[]> {
  const delimiter = `\x1f${randomBytes(6).toString('hex')}\x1f`
  const nowSeconds = Math.floor(now().getTime() / 1000)
  const since = new Date((nowSeconds - settings.sinceSeconds) * 1000).toISOString().slice(0, 19)
  const columns = ['Cluster', 'JobIDRaw', 'End', 'AdminComment', 'ConsumedEnergyRaw']
  const format = [`--delimiter=${delimiter}`, `--format=${columns.join()}`]
  const text = await runProgram('sacct', ['-a', '-X', '-n', '-p', ...format, '-S', since], programs)
  const cells = text.split(delimiter)
  const runs: EndedRun[] = []
  for (let i = 0; i + columns.length < cells.length; i += columns.length) {
    const [cluster = '', id = '', end = '', comment = '', joules = ''] = cells.slice(i)
    const settled = /^[1-9]\d*$/.test(end) && Number(end) <= nowSeconds - settings.settleSeconds
    if (!settled || !/^\d+$/.test(id)) continue
    runs.push({ cluster: cluster.replace(/^\n/, ''), jobId: Number(id), comment, joules })
  }
  return runs
}

/** None for a job that remote-write does not know (yet). */
async function energyOf(
  { cluster, jobId }: EndedRun,
  bridge: Bridge,
): Promise<MeasuredEnergy | undefined> {
  const path = `/api/v1/jobs/${jobId}?cluster=${encodeURIComponent(cluster)}`
  const { status, text } = await askBridge(bridge, path)
  if (status === 404) return undefined
  if (status !== 200) {
    throw new Error(`${bridge.url}${path}: HTTP ${status} ${text.slice(0, 300)}`)
  }
  return jobAnswer.parse(JSON.parse(text)).energy
}

/** What is to be set, such as `AdminComment=pm_energy_j=12345;..`; nothing when it is there. */
export function changeOf(
  run: EndedRun,
  { joules, coverage_ratio, method }: MeasuredEnergy,
  to: SlurmSettings['writeBack']['to'],
): string | undefined {
  if (joules === null) return undefined
  const whole = Math.round(joules)
  if (to === 'tres') return run.joules === String(whole) ? undefined : `TRES=energy=${whole}`
  // sacctmgr takes quotes and more for its own: what others wrote with them is left alone.
  if (to === 'nothing' || !/^[\w =;:./+@-]*$/.test(run.comment)) return undefined
  const others = run.comment.split(';').filter((part) => part !== '' && !/^pm_\w+=/.test(part))
  const quality = coverage_ratio >= 0.99 ? 'complete' : 'partial'
  const ours = [`pm_energy_j=${whole}`, `pm_src=${method}`, `pm_q=${quality}`]
  const comment = [...others, ...ours].join(';')
  return comment === run.comment ? undefined : `AdminComment=${comment}`
}

function modifyArguments({ cluster, jobId }: EndedRun, change: string): string[] {
  return ['-i', 'modify', 'job', 'where', `jobid=${jobId}`, `cluster=${cluster}`, 'set', change]
}

async function keepOriginal(file: string, run: EndedRun, now: Date): Promise<void> {
  await appendFile(file, `${JSON.stringify({ at: now, ...run })}\n`, { mode: 0o600 })
}
