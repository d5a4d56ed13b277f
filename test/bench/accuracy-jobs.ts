import { types } from '../../remote-write/postgres/binary.ts'
import type { CopyRows } from '../../remote-write/postgres/copy.ts'

/** Watts: idle, and within the job a square wave, whose phase differs from node to node. */
interface Load {
  idle: number
  low: number
  high: number
  periodSeconds: number
  /** Part of the period at the high level. */
  duty: number
}

/** A job as it was; times are seconds since the bench's beginning. */
export interface SimulatedJob {
  id: number
  from: number
  to: number
  nodes: number
  stepSeconds: number
  /** Whether its nodes' counters were read when it started and ended. */
  readAtEdges: boolean
  load: Load
}

export interface SimulatedNode {
  samples: NodeSample[]
  joules: number
}

/** `seconds` is when it was scraped, `clock` what the device said. */
export interface NodeSample {
  seconds: number
  clock: number
  joules: number
  watts: number
}

/** A seeded source of numbers from 0 to 1 (mulberry32, public domain). */
export function randomSource(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** 60 s to 6 h, 1 to 128 nodes, any scale as likely; half of the loads beat with the scrape. */
export function drawJob(id: number, random: () => number): SimulatedJob {
  const between = (from: number, to: number) => from + (to - from) * random()
  const scaled = (from: number, to: number) => from * (to / from) ** random()
  const stepSeconds = random() < 0.5 ? 10 : 30
  const from = between(900, 1800)
  const beats = [stepSeconds, stepSeconds * 2, stepSeconds / 2, stepSeconds * 3]
  const beat = beats[Math.floor(random() * beats.length)] ?? stepSeconds
  return {
    id,
    from: Math.round(from * 10) / 10,
    to: Math.round((from + scaled(60, 21_600)) * 10) / 10,
    nodes: Math.round(scaled(1, 128)),
    stepSeconds,
    readAtEdges: random() < 0.5,
    load: {
      idle: between(150, 300),
      low: between(300, 500),
      high: between(500, 900),
      periodSeconds: random() < 0.5 ? beat : between(3, 180),
      duty: between(0.2, 0.8),
    },
  }
}

/**
 * A node of the job, scraped from a quarter of an hour before it to as long after: the device reads
 * its sensors up to 1 s before the scrape, its clock is up to half a second off, 2 % of the scrapes
 * are lost, and counters count whole joules.
 */
export function simulateNode(job: SimulatedJob, random: () => number): SimulatedNode {
  const phase = random() * job.load.periodSeconds
  const offset = random() * job.stepSeconds
  const skew = random() - 0.5
  const drawn = (seconds: number) => drawnUntil(job, seconds, phase)
  const first = 1e6 * random() * 100
  const read = (seconds: number, age: number): NodeSample => {
    const at = seconds - age
    return {
      seconds: Math.round(seconds * 1000) / 1000,
      clock: Math.round((at + skew) * 1000) / 1000,
      joules: Math.floor(first + drawn(at)),
      watts: Math.round(wattsAt(job, at, phase)),
    }
  }
  const count = Math.floor((job.to + 900 - offset) / job.stepSeconds)
  const scrapes = Array.from({ length: count }, (_, i) => offset + i * job.stepSeconds)
  const kept = scrapes.filter(() => random() >= 0.02)
  const samples = kept.map((seconds) => read(seconds, random()))
  const edges = job.readAtEdges
    ? [job.from, job.to].map((edge) => read(edge + 0.2 + random() * 0.5, 0.1))
    : []
  const ordered = [...samples, ...edges].sort((a, b) => a.seconds - b.seconds)
  // The record keeps one sample of a millisecond.
  const told = ordered.filter(({ seconds }, i) => seconds !== ordered[i - 1]?.seconds)
  return { samples: told, joules: drawn(job.to) - drawn(job.from) }
}

/** Joules since the bench's beginning, exactly. */
function drawnUntil({ from, to, load }: SimulatedJob, seconds: number, phase: number): number {
  const busy = Math.min(Math.max(seconds, from), to) - from
  const wave = (t: number) => {
    const { periodSeconds, duty, low, high } = load
    const whole = Math.floor(t / periodSeconds)
    const rest = Math.min(t - whole * periodSeconds, duty * periodSeconds)
    return low * t + (high - low) * (whole * duty * periodSeconds + rest)
  }
  return load.idle * (seconds - busy) + wave(busy + phase) - wave(phase)
}

function wattsAt({ from, to, load }: SimulatedJob, seconds: number, phase: number): number {
  if (seconds < from || seconds >= to) return load.idle
  const part = (((seconds - from + phase) / load.periodSeconds) % 1) + 1
  return part % 1 < load.duty ? load.high : load.low
}

/** Adds the node's samples as rows of frames: counter, its device times. */
export function addNodeRows(
  rows: CopyRows,
  { frame, startMs, samples }: { frame: number; startMs: number; samples: readonly NodeSample[] },
): void {
  for (const { seconds, clock, joules } of samples) {
    rows.row(3, 64 + 12 * 2)
    rows.int4(frame)
    rows.time(Math.round(startMs + seconds * 1000))
    const values = [joules, startMs / 1000 + clock]
    rows.array(types.float8, 2, (n) => rows.float8(values[n] ?? 0))
  }
}

/** Joules of the job by what other tools do (reference: their source, as the README tells). */
export const peers: Record<string, (nodes: readonly SimulatedNode[], job: SimulatedJob) => number> =
  {
    /** CEEMS: the watts of all scrapes within the job, each for a whole scrape interval. */
    ceems: (nodes, job) =>
      sumOf(nodes, (node) => sumOf(within(node, job), ({ watts }) => watts * job.stepSeconds)),
    /** ClusterCockpit: mean watts of a node x nodes x duration, rounded to 0.01 kWh. */
    clustercockpit: (nodes, job) => {
      const means = nodes.map((node) => {
        const inside = within(node, job)
        return inside.length === 0 ? 0 : sumOf(inside, ({ watts }) => watts) / inside.length
      })
      const joules =
        (sumOf(means, (mean) => mean) / nodes.length) * nodes.length * (job.to - job.from)
      return (Math.round((joules / 3.6e6) * 100) / 100) * 3.6e6
    },
    /** Slurm's ipmi plug-in: watts every 30 s, trapezoid, from the first reading to the last. */
    slurm_ipmi: (nodes, job) =>
      sumOf(nodes, (node) => {
        const inside = within(node, job).filter(
          ({ seconds }, i, all) =>
            i === 0 || Math.floor(seconds / 30) !== Math.floor((all[i - 1]?.seconds ?? 0) / 30),
        )
        return sumOf(inside, ({ seconds, watts }, i) => {
          const before = inside[i - 1]
          return before ? ((watts + before.watts) / 2) * (seconds - before.seconds) : 0
        })
      }),
    /** omnistat, and Slurm's pm_counters where no step is read at the job's edges: last - first. */
    counter_inside: (nodes, job) =>
      sumOf(nodes, (node) => {
        const inside = within(node, job)
        return (inside.at(-1)?.joules ?? 0) - (inside[0]?.joules ?? 0)
      }),
  }

/** What a tool that only scrapes sees within the job. */
function within({ samples }: SimulatedNode, { from, to }: SimulatedJob): NodeSample[] {
  return samples.filter(({ seconds }) => seconds >= from + 1 && seconds < to)
}

function sumOf<T>(items: readonly T[], value: (item: T, i: number) => number): number {
  return items.reduce((sum, item, i) => sum + value(item, i), 0)
}
