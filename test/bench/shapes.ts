import { type Bed, receive, withBed } from './bed.ts'
import { median } from './figures.ts'
import { type Load, Requests, Steps } from './requests.ts'
import { growRows } from './rows.ts'

export const name = 'shapes'
export const title =
  'HTTP receive of the shapes that suit it least, against rows with a primary key'

export const goals = [
  {
    key: 'shuffled_ratio_to_copy_into_key',
    least: 1.5,
    words: 'series shuffled over requests / COPY into rows with primary key',
  },
  {
    key: 'lone_ratio_to_merge',
    least: 1,
    words: 'one series per target / rows with ON CONFLICT',
  },
  { key: 'twice_ratio_to_clean', least: 0.5, words: 'every request twice / once' },
]

const rounds = 5
const series = 20_000
const stepsPerRound = 20
/** The row tables have 5 million rows before they are measured. */
const grownSteps = 250

/** Medians of interleaved rounds; 400,000 samples of 20,000 series in each. */
export async function run(): Promise<Record<string, number>> {
  return await withBed(measure)
}

const requests = {
  clean: new Requests({ series, perTarget: 40 }),
  shuffled: new Requests({ series, perTarget: 40, shuffled: true }),
  lone: new Requests({ series, perTarget: 1 }),
}

type Round = Record<'clean' | 'shuffled' | 'lone' | 'twice' | 'keyed' | 'merged', number>

async function measure(bed: Bed): Promise<Record<string, number>> {
  const steps = new Steps((rounds + 1) * stepsPerRound * 4)
  const grown = { series, steps: grownSteps, beforeMs: steps.nextMs }
  await growRows(bed.client, { table: 'keyed', ...grown })
  await growRows(bed.client, { table: 'merged', ...grown })
  const results: Round[] = []
  for (let round = -1; round < rounds; round++) {
    const result = await measureRound(bed, steps)
    if (round >= 0) results.push(result)
  }
  const middle = (figure: (round: Round) => number) => median(results.map(figure))
  return {
    shuffled_ratio_to_copy_into_key: middle(({ shuffled, keyed }) => shuffled / keyed),
    lone_ratio_to_merge: middle(({ lone, merged }) => lone / merged),
    twice_ratio_to_clean: middle(({ twice, clean }) => twice / clean),
    shuffled_samples_per_second: middle(({ shuffled }) => shuffled),
    lone_samples_per_second: middle(({ lone }) => lone),
    twice_distinct_samples_per_second: middle(({ twice }) => twice),
    clean_samples_per_second: middle(({ clean }) => clean),
    copy_into_key_rows_per_second: middle(({ keyed }) => keyed),
    merge_rows_per_second: middle(({ merged }) => merged),
  }
}

/** All in samples or rows a second. */
async function measureRound({ record, sender, copies }: Bed, steps: Steps): Promise<Round> {
  const rate = async (load: Load) => (await receive(record, sender, load)).samplesPerSecond
  const clean = await rate(requests.clean.load(steps.take(stepsPerRound)))
  const twice = await rate(repeated(requests.clean, steps.take(stepsPerRound)))
  const times = steps.take(stepsPerRound)
  const shuffled = await rate(requests.shuffled.load(times))
  const files = await copies.prepare(times, requests.shuffled.order)
  const keyed = await copies.into('keyed', files)
  const lone = await rate(requests.lone.load(steps.take(stepsPerRound)))
  const merged = await copies.merge('merged', files)
  await copies.remove(files)
  return { clean, shuffled, lone, twice, keyed, merged }
}

/** Each time's requests again after they were all sent; the samples are counted once. */
function repeated(requests: Requests, times: readonly number[]): Load {
  const loads = times.map((timeMs) => requests.load([timeMs]))
  const bodies = loads.flatMap((load) => [...load.bodies, ...load.bodies])
  return { ...requests.load([]), bodies, samples: loads.length * series }
}
