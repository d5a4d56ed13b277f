import { Agenda } from './agenda.ts'
import { type Seconds, shapedLoad } from './load.ts'
import { createRandom, hash01, type Random } from './random.ts'
import { computeNodes, type Machine, machines } from './system.ts'
import { type PlacedLoad, type PowerState, Track } from './track.ts'
import {
  checkPeriod,
  coresPerNode,
  drawSubmission,
  type EndState,
  type JobRequest,
  meanJobsPerSubmission,
  nodeCheck,
  type Partition,
} from './workload.ts'

/** A job that has started. */
export interface Job extends Pick<JobRequest, 'exitCode'> {
  id: number
  request: JobRequest
  array?: { jobId: number; taskId: number }
  submittedAt: Seconds
  startedAt: Seconds
  /** Absent while it runs. */
  endedAt?: Seconds
  state: EndState | 'RUNNING'
  machines: readonly Machine[]
}

export interface JobEvent {
  /** Its place in the story, from 0. */
  number: number
  at: Seconds
  type: 'start' | 'end'
  job: Job
}

/** The reset types of Redfish that the simulated machines obey. */
export const resetTypes = [
  'On',
  'Off',
  'ForceOff',
  'GracefulShutdown',
  'ForceRestart',
  'GracefulRestart',
] as const
export type ResetType = (typeof resetTypes)[number]

/** What a user did to a machine. */
export interface Action {
  at: Seconds
  xname: string
  resetType: ResetType
}

/** From `at` on, users submit by this seed, at this rate. */
export interface WorkloadChange {
  at: Seconds
  seed: number
  jobsPerHour: number
}

export interface Story {
  epoch: Seconds
  workloads: readonly [WorkloadChange, ...WorkloadChange[]]
  actions: readonly Action[]
}

interface Waiting {
  id: number
  request: JobRequest
  submittedAt: Seconds
  array?: { jobId: number; taskId: number }
}

/** Jobs and power of longer ago than this are forgotten; counters are not. */
const retainedSeconds: Seconds = 15 * 24 * 3600
/** Jobs that wait in one partition; what is submitted beyond is turned away. */
const longestQueue = 200

const partitions: Record<Partition, readonly Machine[]> = {
  gpu: computeNodes.slice(0, 4),
  workq: computeNodes.slice(4, 9),
  debug: computeNodes.slice(9, 10),
  shared: computeNodes.slice(10),
}

/** Of events at one second: jobs end first, then power steps, then jobs are submitted. */
const rank = { end: 0, power: 1, submit: 2 }

/**
 * The life of the system: jobs that come, wait, run and end on its nodes, and the power that they
 * draw. It depends on its story alone, not on how often it is asked; all edges are whole seconds.
 */
export class Timeline {
  readonly epoch: Seconds
  readonly #tracks: ReadonlyMap<string, Track>
  readonly #jobs = new Map<number, Job>()
  readonly #log: JobEvent[] = []
  readonly #agenda = new Agenda()
  readonly #commands: (Action | WorkloadChange)[]
  readonly #waiting = new Map<Partition, Waiting[]>()
  readonly #booting = new Set<string>()
  #workload: WorkloadChange
  #random: Random
  #lastJobId = 1000
  #events = 0
  #running = 0

  constructor({ epoch, workloads, actions }: Story) {
    const [first, ...changes] = workloads
    this.epoch = epoch
    this.#workload = first
    this.#random = createRandom(first.seed)
    this.#commands = [...changes, ...actions].sort((a, b) => a.at - b.at)
    this.#tracks = new Map(
      machines.map((machine, number) => [
        machine.xname,
        new Track(machine, epoch, hash01(first.seed, number)),
      ]),
    )
    this.#planSubmission(epoch)
    const firstCheck = Math.ceil(epoch / checkPeriod) * checkPeriod
    this.#agenda.add({ at: firstCheck, rank: rank.submit, run: (at) => this.#check(at) })
  }

  /** Lets everything happen that is due by `to`. */
  advance(to: Seconds): void {
    for (;;) {
      const command = this.#commands[0]
      if (this.#agenda.nextAt <= Math.min(to, command?.at ?? to)) {
        this.#agenda.runNext()
      } else if (command && command.at <= to) {
        this.#commands.shift()
        this.#obey(command)
      } else break
    }
  }

  /** Takes a user's action into the story; `at` is a whole second not before the last `advance`. */
  act(action: Action): void {
    this.#commands.push(action)
  }

  track(xname: string): Track {
    const track = this.#tracks.get(xname)
    if (!track) throw new Error(`the simulated system has no machine ${xname}`)
    return track
  }

  job(id: number): Job | undefined {
    return this.#jobs.get(id)
  }

  /** How many jobs run now. */
  get runningJobs(): number {
    return this.#running
  }

  /** Starts and ends of jobs so far, in order. */
  get log(): readonly JobEvent[] {
    return this.#log
  }

  #obey(command: Action | WorkloadChange): void {
    if ('xname' in command) this.#reset(command)
    else this.#changeWorkload(command)
  }

  #changeWorkload(command: WorkloadChange): void {
    this.#workload = command
    this.#random = createRandom(command.seed)
    this.#planSubmission(command.at)
  }

  #planSubmission(after: Seconds): void {
    const workload = this.#workload
    const mean = (3600 / workload.jobsPerHour) * meanJobsPerSubmission
    const at = after + Math.round(this.#random.exponential(mean))
    const run = () => {
      if (this.#workload !== workload) return
      this.#submit(drawSubmission(this.#random, workload.jobsPerHour), at)
      this.#planSubmission(at)
    }
    this.#agenda.add({ at, rank: rank.submit, run })
  }

  #check(at: Seconds): void {
    const next = at + checkPeriod
    this.#agenda.add({ at: next, rank: rank.submit, run: (due) => this.#check(due) })
    if ((this.#waiting.get('debug') ?? []).length === 0) this.#submit([nodeCheck], at)
  }

  /** The last task of an array bears the array's own id, as in Slurm. */
  #submit(requests: readonly JobRequest[], submittedAt: Seconds): void {
    const jobId = ++this.#lastJobId
    for (const [taskId, request] of requests.entries()) {
      const id = taskId === requests.length - 1 ? jobId : ++this.#lastJobId
      const queue = this.#waiting.get(request.partition) ?? []
      this.#waiting.set(request.partition, queue)
      const array = requests.length > 1 ? { array: { jobId, taskId } } : {}
      if (queue.length < longestQueue) queue.push({ id, request, submittedAt, ...array })
    }
    this.#startWaiting(submittedAt)
  }

  /** First come, first served in each partition. */
  #startWaiting(at: Seconds): void {
    for (const queue of this.#waiting.values()) {
      for (let head = queue[0]; head; head = queue[0]) {
        const places = this.#freePlaces(head.request)
        if (places.length < head.request.nodes) break
        queue.shift()
        this.#start(head, places.slice(0, head.request.nodes), at)
      }
    }
  }

  #freePlaces({ partition, cores }: JobRequest): Machine[] {
    return partitions[partition].filter(({ xname }) => {
      const { state, loads } = this.track(xname).latest
      const used = loads.reduce((sum, load) => sum + load.cores, 0)
      return state === 'On' && !this.#booting.has(xname) && used + cores <= coresPerNode
    })
  }

  #start(waiting: Waiting, places: readonly Machine[], startedAt: Seconds): void {
    const { exitCode } = waiting.request
    const job: Job = { ...waiting, exitCode, startedAt, state: 'RUNNING', machines: places }
    this.#jobs.set(job.id, job)
    this.#note('start', startedAt, job)
    for (const { xname } of places) {
      const track = this.track(xname)
      track.change(startedAt, { loads: [...track.latest.loads, placedLoad(job, xname)] })
    }
    const at = startedAt + waiting.request.runSeconds
    const { endState } = waiting.request
    this.#agenda.add({ at, rank: rank.end, run: () => this.#end(job, at, endState, exitCode) })
  }

  #end(job: Job, at: Seconds, state: EndState, exitCode: string): void {
    if (job.endedAt !== undefined) return
    job.endedAt = at
    job.state = state
    job.exitCode = exitCode
    this.#note('end', at, job)
    for (const { xname } of job.machines) {
      const track = this.track(xname)
      const loads = track.latest.loads.filter(({ jobId }) => jobId !== job.id)
      track.change(at, { loads })
    }
    this.#startWaiting(at)
  }

  #note(type: JobEvent['type'], at: Seconds, job: Job): void {
    this.#log.push({ number: this.#events++, at, type, job })
    this.#running += type === 'start' ? 1 : -1
    this.#forget(at - retainedSeconds)
  }

  /** As on real controllers, what comes while a machine changes its state is not obeyed. */
  #reset({ at, xname, resetType }: Action): void {
    const { state } = this.track(xname).latest
    if (resetType === 'On' && state === 'Off') this.#powerOn(xname, at)
    if (resetType === 'On' || state !== 'On') return
    const force = resetType.startsWith('Force')
    const off = at + (force ? 2 : 5)
    this.#powerOff(xname, at, off)
    if (resetType.endsWith('Restart')) {
      this.#agenda.add({ at: off + 1, rank: rank.power, run: (due) => this.#powerOn(xname, due) })
    }
  }

  #powerOff(xname: string, at: Seconds, off: Seconds): void {
    this.#power(xname, at, 'PoweringOff')
    for (const { jobId } of this.track(xname).latest.loads) {
      const job = this.#jobs.get(jobId)
      if (job) this.#end(job, at, 'NODE_FAIL', '0:0')
    }
    this.#agenda.add({ at: off, rank: rank.power, run: () => this.#power(xname, off, 'Off') })
  }

  /** The controller says On after 8 s; jobs may run a minute later, when the system has booted. */
  #powerOn(xname: string, at: Seconds): void {
    this.#booting.add(xname)
    this.#power(xname, at, 'PoweringOn')
    const on = at + 8
    this.#agenda.add({ at: on, rank: rank.power, run: () => this.#power(xname, on, 'On') })
    const booted = () => {
      this.#booting.delete(xname)
      this.#startWaiting(on + 60)
    }
    this.#agenda.add({ at: on + 60, rank: rank.power, run: booted })
  }

  #power(xname: string, at: Seconds, state: PowerState): void {
    this.track(xname).change(at, { state })
  }

  /** Once a day or so: the oldest event is then a day beyond the limit. */
  #forget(before: Seconds): void {
    const oldest = this.#log[0]
    if (!oldest || oldest.at > before - 24 * 3600) return
    for (const { id, endedAt } of this.#jobs.values()) {
      if (endedAt !== undefined && endedAt < before) this.#jobs.delete(id)
    }
    this.#log.splice(
      0,
      this.#log.findIndex(({ at }) => at >= before),
    )
    for (const track of this.#tracks.values()) track.forget(before)
  }
}

/** Nodes differ by a few percent under the same exclusive job; shared cores all draw the same. */
function placedLoad({ id, request, startedAt }: Job, xname: string): PlacedLoad {
  const number = machines.findIndex((machine) => machine.xname === xname)
  const spread = request.partition === 'shared' ? 1 : 0.97 + 0.06 * hash01(id, number)
  return {
    jobId: id,
    cores: request.cores,
    startedAt,
    load: shapedLoad(request.shape, request.watts * spread),
    shares: request.shares,
  }
}
