// Reckons a job's energy anew from `joulebridge job-energy 42 --csv`, on its standard input.
import { readFileSync } from 'node:fs'

const [names = '', ...lines] = readFileSync(0, 'utf8').trim().split('\n')
const parts = new Map<string, { row: Record<string, string>; readings: [number, number][] }>()
for (const line of lines) {
  const cells = line.split(',')
  const row = Object.fromEntries(names.split(',').map((name, i) => [name, cells[i] ?? '']))
  const key = `${row['node']} ${row['from']} ${row['cores']}`
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
const shares = [...parts.values()].map(({ row, readings }) => {
  const [from, to, cores, held] = ['from', 'to', 'cores', 'cores_held'].map((n) => Number(row[n]))
  const node = counted(readings, to ?? 0) - counted(readings, from ?? 0)
  const floor = Math.min(Number(row['idle_joules']), node)
  const most = Math.max(Number(row['node_cores']), held ?? 0)
  return (floor * (cores ?? 1)) / most + (node - floor) * Number(row['share'])
})
const sum = shares.filter((share) => !Number.isNaN(share)).reduce((a, b) => a + b, 0)
process.stdout.write(`${sum}\n`)
