import type { Logger } from '../../../exporter/service/log.ts'
import { expandNodelist } from '../nodelist.ts'
import { sameRunMs } from '../run.ts'
import { type Programs, runProgram } from './program.ts'
import type { SlurmSettings } from './settings.ts'
import type { Held, Told } from './spool.ts'

export interface GresOptions {
  settings: SlurmSettings['accelerators']
  programs: Programs
  log: Logger
}

const answerTimeoutSeconds = 5

/**
 * Asks slurmctld which accelerators a job got: neither its hooks nor accounting know. One request
 * of one job, one at a time; none where slurm.conf has no such resource.
 */
export class GresReader {
  readonly #options: GresOptions
  readonly #programs: Programs
  #exists: boolean | undefined
  #failing = false

  constructor(options: GresOptions) {
    this.#options = options
    this.#programs = { ...options.programs, timeoutSeconds: answerTimeoutSeconds }
  }

  /**
   * For each of the runs that start what it has; null: nobody can say any more. Those that
   * slurmctld was not asked for, or did not answer for, are left out.
   */
  async ofRuns(starts: readonly Told[]): Promise<Map<Told, Held | null>> {
    const found = new Map<Told, Held | null>()
    try {
      if (starts.length === 0 || !(await this.#hasAny())) return found
      for (const start of starts) found.set(start, await this.#ask(start))
      this.#failing = false
    } catch (error) {
      const { log, programs } = this.#options
      if (!this.#failing && !programs.signal.aborted) log.warn({ error }, 'accelerators not told')
      this.#failing = true
    }
    return found
  }

  async #hasAny(): Promise<boolean> {
    const { gres } = this.#options.settings
    if (gres === '') return false
    this.#exists ??= hasGres(await runProgram('scontrol', ['show', 'config'], this.#programs), gres)
    return this.#exists
  }

  async #ask(start: Told): Promise<Held | null> {
    const args = ['show', 'job', '-d', String(start.job_id)]
    // Slurm does not know what is over for some minutes.
    const text = await runProgram('scontrol', args, this.#programs).catch((error: Error) => {
      if (/Invalid job id/i.test(error.message)) return ''
      throw error
    })
    return parseGres(text, start, this.#options.settings)
  }
}

function hasGres(config: string, gres: string): boolean {
  const types = /^GresTypes\s*= (.*)$/m.exec(config)?.[1] ?? ''
  return types.split(',').includes(gres)
}

const line = /^ {5}Nodes=(\S+) CPU_IDs=\S* Mem=\S* GRES=(\S*)$/gm

/**
 * What `scontrol show job -d` (22.05 to 26.05) says of a run's accelerators: lines such as
 * `     Nodes=nid[1-2] CPU_IDs=0 Mem=0 GRES=gpu:a100:2(IDX:0,3)`. Null: it is another run, this one
 * is over, or a user gave the job a name that looks like such a line.
 */
export function parseGres(
  text: string,
  { time, nodelist }: Told,
  { gres, perAccelerator }: SlurmSettings['accelerators'],
): Held | null {
  const starts = [...text.matchAll(/^ {3}StartTime=(\d+) /gm)].map(([, at]) => Number(at) * 1000)
  const near = starts.every((at) => Math.abs(at - Date.parse(String(time))) < sameRunMs)
  if (starts.length !== 1 || !near) return null
  const lines = [...text.matchAll(line)].map(([, nodes = '', has = '']) => ({ nodes, has }))
  const names = lines.flatMap(({ nodes }) => expandNodelist(nodes)).sort()
  if (names.join() !== expandNodelist(String(nodelist)).sort().join()) return null
  const asked = /^ {3}JOB_GRES=(.*)$/m.exec(text)?.[1] ?? ''
  const any = lines.some(({ has }) => has.includes('(IDX:'))
  if (asked.includes(gres) && !any) return null
  return lines.flatMap(({ nodes, has }) => {
    const indices = indicesOf(has, gres).map((index) => Math.floor(index / perAccelerator))
    return indices.length === 0 ? [] : [{ nodelist: nodes, indices: [...new Set(indices)] }]
  })
}

/** `gpu:a100:2(IDX:0,2-3),gpu:h100:1(IDX:5),nic:1(IDX:0)` has 0, 2, 3 and 5. */
function indicesOf(has: string, gres: string): number[] {
  const lists = [...has.matchAll(/(?:^|,)(\w+)[^,()]*\(IDX:([\d,-]+)\)/g)]
  return lists
    .filter(([, name]) => name === gres)
    .flatMap(([, , list]) => expandNodelist(`[${list}]`).map(Number))
}
