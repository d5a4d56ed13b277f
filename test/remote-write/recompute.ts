// Reckons a job's energy anew from `joulebridge job-energy 42 --csv`, on its standard input.
import { readFileSync } from 'node:fs'

const [names = '', ...lines] = readFileSync(0, 'utf8').trim().split('\n')
const parts = new Map<string, { row: Record<string, string>; readings: [number, number][] }>()
for (const line of lines) {
  const cells = line.split(',')
  const row = Object.fromEntries(names.split(',').map((name, i) => [name, cells[i] ?? '']))
  const key = `${row['node']} ${row['from']} ${row['cores']} ${row['accelerator']}`
  const part = parts.get(key) ?? { row, readings: [] }
  parts.set(key, part)
  if (row['time']) part.readings.push([Number(row['time']), Number(row['reading'])])
}
type Readings = readonly [number, number][]
const slope = (r: Readings, i: number) => {
  const [[t0, c0] = [Number.NaN, 0], [t1, c1] = [Number.NaN, 0]] = [r[i - 1], r[i]]
  return c1 < c0 || c1 - c0 > 1e5 * (t1 - t0) ? Number.NaN : (c1 - c0) / (t1 - t0)
}
const counted = (r: Readings, at: number) =>
  r.slice(1).reduce((sum, [t1, c1], k) => {
    const [t0, c0] = r[k] ?? [t1, c1]
    const all = c1 < c0 ? c1 : c1 - c0
    const rise = all > 1e5 * (t1 - t0) ? 0 : all
    const part = Math.min(Math.max((at - t0) / (t1 - t0), 0), 1)
    const [before, after, own] = [slope(r, k), slope(r, k + 2), slope(r, k + 1)]
    const near = t1 - (r[k - 1]?.[0] ?? 0) <= 300 && (r[k + 2]?.[0] ?? Infinity) - t0 <= 300
    const jump = near ? (own - after) / (before - after) : Number.NaN
    if (!(own > 0 && jump >= 0 && jump <= 1)) return sum + rise * part
    const joules = before * Math.min(part, jump) + after * Math.max(part - jump, 0)
    return sum + joules * (t1 - t0)
  }, 0)
const integral = (r: Readings, from: number, to: number) =>
  r.slice(1).reduce((sum, [t1, w1], k) => {
    const [t0, w0] = r[k] ?? [t1, w1]
    const [a, b] = [Math.max(t0, from), Math.min(t1, to)]
    if (b <= a || t1 - t0 > 300) return sum
    return sum + (b - a) * (w0 + ((w1 - w0) * ((a + b) / 2 - t0)) / (t1 - t0))
  }, 0)
const energy = ({ row, readings }: { row: Record<string, string>; readings: Readings }) => {
  const [from, to] = [Number(row['from']), Number(row['to'])]
  if (row['method'] === 'power') return integral(readings, from, to)
  return counted(readings, to) - counted(readings, from)
}
const all = [...parts.values()]
const shares = all.flatMap((part) => {
  const { row } = part
  if (row['accelerator'] !== '') return []
  const [cores, held] = ['cores', 'cores_held'].map((name) => Number(row[name]))
  const owned = all.filter(({ row: { node, from, accelerator } }) => {
    return accelerator !== '' && node === row['node'] && from === row['from']
  })
  const node = energy(part)
  const together = owned.reduce((sum, each) => sum + energy(each), 0)
  const scale = Math.min(1, node / (together || 1))
  const own = owned.reduce((sum, each) => sum + energy(each) * scale * Number(each.row['part']), 0)
  const rest = node - together * scale
  const floor = Math.min(Number(row['idle_joules']), rest)
  const most = Math.max(Number(row['node_cores']), held ?? 0)
  return [(floor * (cores ?? 1)) / most + (rest - floor) * Number(row['share']) + own]
})
const sum = shares.filter((share) => !Number.isNaN(share)).reduce((a, b) => a + b, 0)
process.stdout.write(`${sum}\n`)
