import type { Seconds, Shape } from './load.ts'
import type { Random } from './random.ts'
import type { Domains } from './system.ts'

export type Partition = 'gpu' | 'workq' | 'debug' | 'shared'
export type EndState = 'COMPLETED' | 'FAILED' | 'TIMEOUT' | 'CANCELLED' | 'NODE_FAIL'

/** A job as a user submits it, with what will become of it unless its node fails. */
export interface JobRequest {
  name: string
  user: string
  uid: number
  account: string
  partition: Partition
  nodes: number
  /** Cores on each node; the whole node but in the shared partition. */
  cores: number
  /** How long it will run: whole seconds. */
  runSeconds: Seconds
  endState: EndState
  exitCode: string
  /** Mean watts above idle on each node, and how they run and divide. */
  watts: number
  shape: Shape
  shares: Omit<Domains, 'node'>
}

export const coresPerNode = 128

/** Users who share a node run throughput work: each core draws this, at all times. */
const sharedWattsPerCore = 3.4

interface Application {
  weight: number
  name: string
  partition: Partition
  nodes: readonly [number, ...number[]]
  cores: readonly [number, ...number[]]
  /** Least and most watts above idle on a node; in the shared partition the cores decide. */
  watts: readonly [number, number]
  minutes: readonly [number, number]
  /** Most tasks of an array; 1: no array. */
  tasks: number
  shape: Shape
  shares: Omit<Domains, 'node'>
}

const cpuShares = { cpu: 0.74, memory: 0.16, accelerator: 0 }
const gpuShares = { cpu: 0.09, memory: 0.04, accelerator: 0.79 }
const whole = [coresPerNode] as const

const applications: readonly [Application, ...Application[]] = [
  {
    weight: 8,
    name: 'gromacs-md',
    partition: 'gpu',
    nodes: [1, 1, 2],
    cores: whole,
    watts: [900, 1350],
    minutes: [3, 18],
    tasks: 1,
    shape: { kind: 'wave', swing: 0.06, period: 47 },
    shares: gpuShares,
  },
  {
    weight: 4,
    name: 'train-llm',
    partition: 'gpu',
    nodes: [1, 1, 2, 4],
    cores: whole,
    watts: [1250, 1700],
    minutes: [4, 20],
    tasks: 1,
    shape: { kind: 'phases', low: 0.55, duty: 0.85, period: 75 },
    shares: gpuShares,
  },
  {
    weight: 10,
    name: 'wrf-forecast',
    partition: 'workq',
    nodes: [1, 1, 2],
    cores: whole,
    watts: [300, 430],
    minutes: [3, 14],
    tasks: 1,
    shape: { kind: 'phases', low: 0.6, duty: 0.7, period: 90 },
    shares: cpuShares,
  },
  {
    weight: 10,
    name: 'vasp-relax',
    partition: 'workq',
    nodes: [1, 1, 2],
    cores: whole,
    watts: [340, 480],
    minutes: [2, 16],
    tasks: 1,
    shape: { kind: 'wave', swing: 0.1, period: 33 },
    shares: cpuShares,
  },
  {
    weight: 1,
    name: 'cfd-large',
    partition: 'workq',
    nodes: [3, 4],
    cores: whole,
    watts: [330, 420],
    minutes: [5, 14],
    tasks: 1,
    shape: { kind: 'wave', swing: 0.04, period: 120 },
    shares: cpuShares,
  },
  {
    weight: 12,
    name: 'blast-search',
    partition: 'shared',
    nodes: [1],
    cores: [16, 32, 64],
    watts: [0, 0],
    minutes: [4, 30],
    tasks: 1,
    shape: { kind: 'steady' },
    shares: cpuShares,
  },
  {
    weight: 3,
    name: 'param-sweep',
    partition: 'shared',
    nodes: [1],
    cores: [8, 16],
    watts: [0, 0],
    minutes: [5, 20],
    tasks: 6,
    shape: { kind: 'steady' },
    shares: cpuShares,
  },
  {
    weight: 1,
    name: 'notebook',
    partition: 'shared',
    nodes: [1],
    cores: [4, 8],
    watts: [0, 0],
    minutes: [30, 120],
    tasks: 1,
    shape: { kind: 'steady' },
    shares: cpuShares,
  },
]

interface User {
  weight: number
  user: string
  uid: number
  account: string
}

const users: readonly [User, ...User[]] = [
  { weight: 5, user: 'amara', uid: 52001, account: 'climate' },
  { weight: 4, user: 'bjorn', uid: 52002, account: 'materials' },
  { weight: 3, user: 'chen', uid: 52003, account: 'genomics' },
  { weight: 3, user: 'dalia', uid: 52004, account: 'materials' },
  { weight: 2, user: 'emeka', uid: 52005, account: 'ai-lab' },
  { weight: 2, user: 'freya', uid: 52006, account: 'climate' },
]

interface Ending {
  weight: number
  endState: EndState
  exitCode: string
  /** The least part of its planned time that such a job runs. */
  shortest: number
}

const endings: readonly [Ending, ...Ending[]] = [
  { weight: 86, endState: 'COMPLETED', exitCode: '0:0', shortest: 1 },
  { weight: 6, endState: 'FAILED', exitCode: '1:0', shortest: 0.2 },
  { weight: 4, endState: 'CANCELLED', exitCode: '0:15', shortest: 0.3 },
  { weight: 4, endState: 'TIMEOUT', exitCode: '0:0', shortest: 1 },
]

/** The job rate for which the durations above leave the nodes busy but not swamped. */
const comfortableRate = 40

/**
 * What a user submits: the tasks of one array, or a single job. At a rate above 40 jobs an hour the
 * jobs become shorter in proportion, down to 20 s, so that the system keeps up.
 */
export function drawSubmission(random: Random, jobsPerHour: number): JobRequest[] {
  const application = random.pick(applications)
  const { user, uid, account } = random.pick(users)
  const cores = oneOf(random, application.cores)
  const first = {
    name: application.name,
    user,
    uid,
    account,
    partition: application.partition,
    nodes: oneOf(random, application.nodes),
    cores,
    watts:
      application.partition === 'shared'
        ? sharedWattsPerCore * cores
        : random.between(...application.watts),
    shape: application.shape,
    shares: application.shares,
  }
  const tasks = 1 + Math.floor(random.next() * application.tasks)
  const speed = Math.min(1, comfortableRate / jobsPerHour)
  return Array.from({ length: tasks }, () => ({
    ...first,
    ...drawEnding(random, application.minutes, speed),
  }))
}

/** Jobs a submission makes on average, for the rate of submissions. */
export const meanJobsPerSubmission =
  applications.reduce((sum, { weight, tasks }) => sum + (weight * (1 + tasks)) / 2, 0) /
  applications.reduce((sum, { weight }) => sum + weight, 0)

/** Short runs are likelier than long ones: the square of an even draw. */
function drawEnding(random: Random, minutes: readonly [number, number], speed: number) {
  const { endState, exitCode, shortest } = random.pick(endings)
  const [least, most] = minutes
  const planned = 60 * (least + (most - least) * random.next() ** 2)
  const run = planned * random.between(shortest, 1) * speed
  return { endState, exitCode, runSeconds: Math.max(20, Math.round(run)) }
}

function oneOf(random: Random, choices: readonly [number, ...number[]]): number {
  return choices[Math.floor(random.next() * choices.length)] ?? choices[0]
}

/** Seconds between two node checks, and how long one runs. */
export const checkPeriod: Seconds = 100

/** The operators' regular short job: whenever one looks, one ends within two minutes. */
export const nodeCheck: JobRequest = {
  name: 'node-check',
  user: 'ops',
  uid: 51000,
  account: 'operations',
  partition: 'debug',
  nodes: 1,
  cores: coresPerNode,
  runSeconds: 80,
  endState: 'COMPLETED',
  exitCode: '0:0',
  watts: 60,
  shape: { kind: 'steady' },
  shares: cpuShares,
}
