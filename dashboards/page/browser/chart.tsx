import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import type { PowerHistory } from './api.ts'
import { mark, quantity } from './format.ts'

/** Observable's ten colours, which light and dark grounds both bear. */
const colours = [
  '#4269d0',
  '#efb118',
  '#3ca951',
  '#ff725c',
  '#a463f2',
  '#6cc5b0',
  '#ff8ab7',
  '#9c6b4e',
  '#97bbf5',
  '#9498a0',
]

/** Power over time, each line on top of those before it. */
export function PowerChart({ history, label }: { history: PowerHistory; label: string }) {
  const place = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const parent = place.current
    if (!parent) return
    const draw = () => new uPlot(options(parent, history), stacked(history), parent)
    let chart = draw()
    const watch = new ResizeObserver(() => {
      if (Math.abs(parent.clientWidth - chart.width) < 2) return
      chart.destroy()
      chart = draw()
    })
    watch.observe(parent)
    return () => {
      watch.disconnect()
      chart.destroy()
    }
  }, [history])
  return <div class="chart" role="img" aria-label={label} ref={place} />
}

function options(parent: HTMLElement, { lines }: PowerHistory): uPlot.Options {
  const ink = getComputedStyle(parent).color
  const axis = { stroke: ink, grid: { stroke: '#8884', width: 1 }, ticks: { stroke: '#8884' } }
  return {
    width: Math.max(parent.clientWidth, 200),
    height: 240,
    legend: { show: lines.length <= 12 },
    scales: { y: { range: (_, __, most) => [0, (most || 1) * 1.05] } },
    axes: [
      { ...axis, values: clock },
      { ...axis, size: 70, values: (_, ticks) => ticks.map((tick) => mark(tick, 'W')) },
    ],
    series: [
      {},
      ...lines
        .map(({ xname, watts }, i) => ({
          label: xname,
          stroke: colours[i % colours.length] ?? '',
          fill: colours[i % colours.length] ?? '',
          points: { show: false },
          value: (_: uPlot, __: number, ___: number, at: number | null) =>
            quantity(at === null ? null : watts[at], 'W'),
        }))
        .reverse(),
    ],
  }
}

/** Hours and minutes, and the day where it begins: uPlot's own clock has twelve hours. */
function clock(_: uPlot, ticks: number[]): string[] {
  return ticks.map((tick, i) => {
    const [time, before] = [new Date(tick * 1000), new Date((ticks[i - 1] ?? 0) * 1000)]
    const [hour, day] = [time.toTimeString().slice(0, 5), time.toDateString().slice(4, 10)]
    return time.toDateString() === before.toDateString() ? hour : `${hour}\n${day}`
  })
}

/** The topmost first, so that the others are drawn over it. */
function stacked({ from, step_seconds, lines }: PowerHistory): uPlot.AlignedData {
  const steps = lines[0]?.watts.length ?? 0
  const start = Date.parse(from) / 1000
  const times = Array.from({ length: steps }, (_, i) => start + i * step_seconds)
  const sums = new Array<number>(steps).fill(0)
  const tops = lines.map(({ watts }) =>
    watts.map((value, i) => {
      if (value === null) return null
      sums[i] = (sums[i] ?? 0) + value
      return sums[i] ?? null
    }),
  )
  return [times, ...tops.reverse()]
}
