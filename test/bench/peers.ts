import { type Bed, type Measured, receive, withBed } from './bed.ts'
import { median } from './figures.ts'
import { type Receiver, startPrometheusReceiver, startVictoriaMetrics } from './receivers.ts'
import { Requests, Steps } from './requests.ts'

export const name = 'peers'
export const title = 'HTTP receive against the receivers of Prometheus and VictoriaMetrics'

export const goals = [
  { key: 'rate_to_prometheus', least: 5, words: "rate / Prometheus' receiver" },
  { key: 'cpu_to_prometheus', most: 1 / 7, words: "CPU per sample / Prometheus' receiver" },
  { key: 'rate_to_victoria_metrics', least: 1, words: 'rate / VictoriaMetrics' },
  { key: 'cpu_to_victoria_metrics', most: 0.75, words: 'CPU per sample / VictoriaMetrics' },
]

const rounds = 5
/** 24 requests to each time: a series always goes through the same shard, as Prometheus has it. */
const series = 48_000
const stepsPerRound = 20

/** Medians of interleaved rounds of the same requests; a peer that is not there is left out. */
export async function run(): Promise<Record<string, number>> {
  return await withBed(async (bed) => {
    const found = [await startPrometheusReceiver(), await startVictoriaMetrics()]
    const peers = found.filter((peer) => peer !== undefined)
    try {
      return await measure(bed, peers)
    } finally {
      for (const peer of peers) await peer.close()
    }
  })
}

async function measure(
  { record, sender }: Bed,
  peers: readonly Receiver[],
): Promise<Record<string, number>> {
  const requests = new Requests({ series, perTarget: 40 })
  const steps = new Steps((rounds + 1) * stepsPerRound)
  const receivers = [record, ...peers]
  const results: Measured[][] = []
  for (let round = -1; round < rounds; round++) {
    const load = requests.load(steps.take(stepsPerRound))
    const measured: Measured[] = []
    for (const receiver of receivers) measured.push(await receive(receiver, sender, load))
    if (round >= 0) results.push(measured)
  }
  /** The middle of a figure of the receiver at `place`, ours at 0. */
  const middle = (place: number, figure: (one: Measured, ours: Measured) => number) =>
    median(results.map((all) => compare(all, place, figure)))
  const figures = receivers.map(({ name }, i) => describe(name, i, middle))
  return Object.assign({}, ...figures.slice(1), ...figures.slice(0, 1))
}

type Middle = (place: number, figure: (one: Measured, ours: Measured) => number) => number

function compare(
  all: readonly Measured[],
  place: number,
  figure: (one: Measured, ours: Measured) => number,
): number {
  const [ours, one] = [all[0], all[place]]
  return ours && one ? figure(one, ours) : Number.NaN
}

function describe(receiver: string, place: number, middle: Middle): Record<string, number> {
  const ratios = {
    [`rate_to_${receiver}`]: middle(
      place,
      (one, ours) => ours.samplesPerSecond / one.samplesPerSecond,
    ),
    [`cpu_to_${receiver}`]: middle(
      place,
      (one, ours) => ours.cpuSecondsPerMillion / one.cpuSecondsPerMillion,
    ),
  }
  return {
    ...(place > 0 ? ratios : {}),
    [`${receiver}_samples_per_second`]: middle(place, (one) => one.samplesPerSecond),
    [`${receiver}_cpu_seconds_per_million`]: middle(place, (one) => one.cpuSecondsPerMillion),
    [`${receiver}_p50_ms`]: middle(place, (one) => one.p50Ms),
    [`${receiver}_p99_ms`]: middle(place, (one) => one.p99Ms),
  }
}
