import type { Piece } from './readings.ts'

export interface ExplainOptions {
  maxGapSeconds: number
  /** In seconds since 1970; null: it is suspended still. */
  suspensions: readonly { from: number; to: number | null }[]
}

/**
 * How the energy of a job comes about, for people: of each node its edges, readings, resets and
 * gaps, and the sums, with all digits that it takes to reckon them anew.
 */
export function explainEnergy(
  jobId: number,
  pieces: readonly Piece[],
  { maxGapSeconds, suspensions }: ExplainOptions,
): string {
  const known = pieces.flatMap(({ joules }) => (joules === null ? [] : [joules]))
  const total = known.reduce((sum, joules) => sum + joules, 0)
  return [
    `job ${jobId}`,
    ...suspensions.map(
      ({ from, to }) =>
        `suspended from ${instant(from)} to ${to === null ? 'now' : instant(to)}: it bears its ` +
        'nodes all the same, but of those that it shares only the floor while others run there',
    ),
    ...pieces.flatMap((piece) => ['', ...explainPiece(piece, maxGapSeconds)]),
    '',
    known.length === 0
      ? 'nothing was measured'
      : `energy = sum of ${known.length} parts = ${total} J`,
    ...(known.length < pieces.length
      ? [`${pieces.length - known.length} parts were not measured: the sum leaves them out`]
      : []),
  ].join('\n')
}

function explainPiece(piece: Piece, maxGapSeconds: number): string[] {
  const { node, xname, from, to, method, node_joules } = piece
  const title = `${node} (${xname ?? 'no xname known'}) from ${instant(from)} to ${instant(to)}`
  if (method === null || node_joules === null) return [title, '  no readings: unknown']
  const body =
    method === 'power' ? [`  integral of watts = ${node_joules} J`] : explainCounter(piece)
  return [
    title,
    `  method ${method}, ${piece.readings?.length ?? 0} readings`,
    ...gaps(piece, maxGapSeconds),
    ...body,
    ...explainShare(piece),
  ]
}

function explainCounter(piece: Piece): string[] {
  const { from, to, times, readings, resets, node_joules } = piece
  const start = edge('start', from, { nth: piece.start_nth, part: piece.start_part }, piece)
  const end = edge('end', to, { nth: piece.end_nth, part: piece.end_part }, piece)
  const first = start.joules ?? readings?.[0]
  const last = end.joules ?? readings?.at(-1)
  const falls = resetSteps(piece)
  const corrected = falls.reduce((sum, { correction }) => sum + correction, 0)
  const lines = falls.map(
    ({ i, correction, counts }) =>
      `  reset at ${instant(times?.[i] ?? 0)}: ${readings?.[i - 1]} J to ${readings?.[i]} J, ` +
      `counts ${counts} J: correction ${correction} J`,
  )
  const plain = `${last} - ${first}`
  const formula =
    resets === 0
      ? `  ${plain} = ${node_joules} J`
      : `  ${plain} + ${corrected} = ${node_joules} J, but for an edge that cuts a reset's step`
  return [start.line, end.line, ...lines, formula]
}

/** What the counter showed at an edge, by the step that the edge cuts. */
function edge(
  word: string,
  at: number,
  { nth, part }: { nth: number | null; part: number | null },
  { times, readings }: Piece,
): { line: string; joules: number | undefined } {
  const index = nth ?? 0
  const [t0, t1] = [times?.[index - 2], times?.[index - 1]]
  const [c0, c1] = [readings?.[index - 2], readings?.[index - 1]]
  if (part === null || t0 === undefined || t1 === undefined) {
    return { line: `  ${word}: no reading on one side of it`, joules: undefined }
  }
  if (c0 === undefined || c1 === undefined) return { line: `  ${word}: none`, joules: undefined }
  const joules = c0 + part * (c1 - c0)
  const line =
    `  ${word} ${at}: between ${c0} J at ${t0} and ${c1} J at ${t1}, ` +
    `${part} of the step before it: ${joules} J`
  return { line, joules }
}

/** Steps that count otherwise than their difference: after a fall from zero, or nothing. */
function resetSteps({ from, to, times, readings }: Piece) {
  return (readings ?? []).flatMap((c1, i) => {
    const [c0, t0, t1] = [readings?.[i - 1], times?.[i - 1] ?? 0, times?.[i] ?? 0]
    if (c0 === undefined || t1 <= from || t0 >= to) return []
    const rise = c1 < c0 ? c1 : c1 - c0
    const counts = rise <= 100_000 * (t1 - t0) ? rise : 0
    return counts === c1 - c0 ? [] : [{ i, counts, correction: counts - (c1 - c0) }]
  })
}

function gaps({ from, to, times }: Piece, maxGapSeconds: number): string[] {
  return (times ?? []).flatMap((t1, i) => {
    const t0 = times?.[i - 1]
    if (t0 === undefined || t1 - t0 <= maxGapSeconds || t1 <= from || t0 >= to) return []
    return [`  gap of ${t1 - t0} s from ${instant(t0)}: not covered`]
  })
}

function explainShare(piece: Piece): string[] {
  const { cores, cores_held, node_cores, share, idle_joules, node_joules, joules } = piece
  const accelerators = piece.accelerators ?? []
  if (joules === node_joules && accelerators.length === 0) return []
  const owned = accelerators.reduce((sum, each) => sum + each.joules, 0)
  const own = accelerators.reduce((sum, each) => sum + each.part * each.joules, 0)
  const rest = Math.max((node_joules ?? 0) - owned, 0)
  const most = Math.max(node_cores ?? 0, cores_held ?? 0)
  return [
    ...accelerators.map(
      ({ accelerator, joules, method, part }) =>
        `  accelerator ${accelerator}: ${joules} J by its ${method}, of which it bears ${part}`,
    ),
    ...(owned > 0 ? [`  without them ${node_joules} - ${owned} = ${rest} J`] : []),
    `  ${cores} of ${cores_held} cores held, node of ${node_cores ?? 'unknown'}: floor ` +
      `min(${idle_joules}, ${rest}) * ${cores} / ${most}` +
      ` + max(${rest} - ${idle_joules}, 0) * ${share}${owned > 0 ? ` + ${own}` : ''} = ${joules} J`,
  ]
}

function instant(seconds: number): string {
  return new Date(seconds * 1000).toISOString()
}
