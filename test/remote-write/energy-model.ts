/**
 * The energy rules once more, as plainly as they can be said: slow, one node at a time, no SQL.
 * Times are seconds since 1970.
 */
export interface Sample {
  scraped: number
  value: number
  /** By the device's clock, if it said. */
  clock?: number
}

export interface Metered {
  joules: number
  low: number
  /** Infinity: unbounded. */
  high: number
  metered: number
  covered: number
  resets: number
}

export interface Span {
  from: number
  to: number
}

const clockToleranceSeconds = 300
const credibleWatts = 100_000
const nearSeconds = 300

/** Undefined when no two readings lie around any part of the span. */
export function meteredEnergy(
  samples: readonly Sample[],
  span: Span,
  maxGap: number,
): Metered | undefined {
  const readings = readingsOf(samples)
  const all = stepsOf(readings)
  const steps = all.filter((step) => insideOf(step, span) > 0)
  if (steps.length === 0) return undefined
  const whole = steps.filter((step) => insideOf(step, span) === step.to - step.from)
  const covered = steps.filter(({ from, to }) => to - from <= maxGap)
  const grain = readings.every(({ value }) => Number.isInteger(value)) ? 1 : 0
  const bounded = (readings[0]?.at ?? span.to) <= span.from && (readings.at(-1)?.at ?? 0) >= span.to
  const slack = grain + clockBound(samples, all, steps)
  const high =
    sumOf(steps, ({ rise }) => rise) + slack + lostBound(steps, seen(all, readings, span))
  return {
    joules: sumOf(steps, (step) => rose(step, span.to, all) - rose(step, span.from, all)),
    low: Math.max(0, sumOf(whole, ({ rise }) => rise) - slack),
    high: bounded && !Number.isNaN(high) ? high : Number.POSITIVE_INFINITY,
    metered: sumOf(steps, (step) => insideOf(step, span)),
    covered: sumOf(covered, (step) => insideOf(step, span)),
    resets: steps.filter(({ reset }) => reset).length,
  }
}

/** From one reading to the next. */
interface Step extends Span {
  rise: number
  reset: boolean
}

function stepsOf(readings: readonly { at: number; value: number }[]): Step[] {
  return readings.slice(1).map(({ at: to, value }, i) => {
    const { at: from, value: before } = readings[i] ?? { at: to, value }
    const rise = value < before ? value : value - before
    const credible = rise <= credibleWatts * (to - from)
    return { from, to, rise: credible ? rise : 0, reset: value < before || !credible }
  })
}

function insideOf(step: Span, { from, to }: Span): number {
  return Math.min(step.to, to) - Math.max(step.from, from)
}

function wattsOf({ from, to, rise }: Step): number {
  return rise / (to - from)
}

/** What the counter rose from the start of the step until an instant, which may cut the step. */
function rose(step: Step, at: number, all: readonly Step[]): number {
  if (at <= step.from) return 0
  if (at >= step.to) return step.rise
  const [before, after] = [all[all.indexOf(step) - 1], all[all.indexOf(step) + 1]]
  const even = (step.rise * (at - step.from)) / (step.to - step.from)
  if (!before || !after || before.reset || after.reset || step.reset) return even
  if (step.to - before.from > nearSeconds || after.to - step.from > nearSeconds) return even
  // From one power to the other in one jump, when the whole rise says it was.
  const [first, second] = [wattsOf(before), wattsOf(after)]
  const jump = step.from + (step.rise - second * (step.to - step.from)) / (first - second)
  if (!(jump >= step.from && jump <= step.to)) return even
  return first * (Math.min(at, jump) - step.from) + second * Math.max(0, at - jump)
}

/** A clock may be 1 s off: twice the highest power of the steps around each edge. */
function clockBound(samples: readonly Sample[], all: readonly Step[], steps: readonly Step[]) {
  if (samples.every(({ clock }) => clock === undefined)) return 0
  return sumOf([steps[0], steps.at(-1)], (edge) => {
    const at = edge ? all.indexOf(edge) : 0
    const near = all.slice(Math.max(0, at - 1), at + 2).filter(({ reset }) => !reset)
    return 2 * Math.max(0, ...near.map(wattsOf))
  })
}

/** What the steps with resets may hold beyond what they count; NaN: nobody knows. */
function lostBound(steps: readonly Step[], seen: readonly Step[]): number {
  const resets = steps.filter(({ reset }) => reset)
  if (resets.length === 0) return 0
  const watts = seen.filter(({ reset }) => !reset).map(wattsOf)
  if (watts.length === 0) return Number.NaN
  const most = Math.max(...watts)
  const seconds = sumOf(resets, ({ from, to }) => to - from)
  return Math.max(0, 2 * most * seconds - sumOf(resets, ({ rise }) => rise))
}

/** The steps that the database reads: those within the span and 300 s around, and one beyond. */
function seen(all: readonly Step[], readings: readonly { at: number }[], { from, to }: Span) {
  const times = readings.map(({ at }) => at)
  const first = Math.max(...times.filter((at) => at <= from - 300))
  const last = Math.min(...times.filter((at) => at >= to + 300))
  return all.filter((step) => step.from >= first && step.to <= last)
}

function sumOf<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((sum, item) => sum + value(item), 0)
}

function readingsOf(samples: readonly Sample[]): { at: number; value: number }[] {
  const readings: { at: number; value: number }[] = []
  let previous: Sample | undefined
  for (const sample of samples.toSorted((a, b) => a.scraped - b.scraped)) {
    const { scraped, value, clock } = sample
    const trusted = clock !== undefined && Math.abs(clock - scraped) <= clockToleranceSeconds
    const at = trusted ? clock : scraped
    const told = (clock ?? 0) > 0 && clock === previous?.clock && value === previous?.value
    previous = sample
    const latest = readings.at(-1)
    if (!latest || (at > latest.at && !told)) readings.push({ at, value })
  }
  return readings
}

export interface Holding extends Span {
  job: number
  cores: number
  /** Cores kept busy; what is above the floor is shared by them where all who are there tell. */
  busy?: number | undefined
  /** Its own, by their numbers. */
  accelerators?: readonly number[] | undefined
  /** When it was suspended. */
  halts?: readonly Span[] | undefined
}

export interface Shares {
  jobs: Map<number, number>
  /** What no job bears: the node's time without jobs, and the floor of cores that none holds. */
  idle: number
}

/** What each job bears of a node that others may share, and what none does. */
export function shares(
  samples: readonly Sample[],
  holdings: readonly Holding[],
  node: { cores: number; idleWatts: number; span: Span; accelerators?: readonly Sample[][] },
): Shares {
  // A suspension matters to those who are there meanwhile.
  const halts = holdings.flatMap((own) => {
    const others = holdings.filter((other) => other !== own)
    return (own.halts ?? []).filter(({ from, to }) =>
      others.some((other) => other.from < to && other.to > from),
    )
  })
  const edges = [...holdings, ...halts]
    .flatMap(({ from, to }) => [from, to])
    .filter((edge) => edge > node.span.from && edge < node.span.to)
  const cuts = [node.span.from, ...edges, node.span.to].sort((a, b) => a - b)
  const result: Shares = { jobs: new Map(holdings.map(({ job }) => [job, 0])), idle: 0 }
  for (const [i, to] of cuts.entries()) {
    const from = cuts[i - 1] ?? to
    if (from === to) continue
    const metered = meteredEnergy(samples, { from, to }, 300)
    if (!metered) continue
    const here = holdings.filter((holding) => holding.from <= from && holding.to >= to)
    const held = here.reduce((sum, { cores }) => sum + cores, 0)
    const owned = ownedEnergy(here, node.accelerators ?? [], { from, to }, metered.joules)
    const shared = metered.joules - [...owned.values()].reduce((sum, own) => sum + own, 0)
    const floor = Math.min(shared, node.idleWatts * metered.metered)
    const rest = shared - floor
    const awake = here.filter(({ halts = [] }) => !halts.some((h) => h.from <= from && h.to >= to))
    const running = awake.length > 0 ? awake : here
    const sum = (figure: (holding: Holding) => number) =>
      running.reduce((all, holding) => all + figure(holding), 0)
    const told = here.every((holding) => holding.busy !== undefined)
    const busy = told ? sum((holding) => holding.busy ?? 0) : 0
    for (const holding of here) {
      const { job, cores, busy: own = 0 } = holding
      const part = busy > 0 ? own / busy : cores / sum((each) => each.cores)
      const above = running.includes(holding) ? rest * part : 0
      const share = (floor * cores) / Math.max(node.cores, held) + above
      result.jobs.set(job, (result.jobs.get(job) ?? 0) + share + (owned.get(holding) ?? 0))
    }
    const floorHeld = held / Math.max(node.cores, held)
    result.idle += here.length === 0 ? metered.joules : floor * (1 - floorHeld)
  }
  return result
}

/** What each holding bears of its own accelerators, together at most what the node drew. */
function ownedEnergy(
  here: readonly Holding[],
  accelerators: readonly Sample[][],
  span: Span,
  most: number,
): Map<Holding, number> {
  const result = new Map<Holding, number>()
  for (const [i, samples] of accelerators.entries()) {
    const owners = here.filter((holding) => holding.accelerators?.includes(i))
    const joules = meteredEnergy(samples, span, 300)?.joules ?? 0
    for (const owner of owners) {
      result.set(owner, (result.get(owner) ?? 0) + joules / owners.length)
    }
  }
  const sum = [...result.values()].reduce((all, own) => all + own, 0)
  const scale = sum > most ? most / sum : 1
  return new Map([...result].map(([holding, joules]) => [holding, joules * scale]))
}
