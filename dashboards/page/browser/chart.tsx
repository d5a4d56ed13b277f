import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import type { PowerHistory } from './api.ts'
import { quantity } from './format.ts'

const hues = [212, 130, 28, 285, 355, 175, 48, 320, 95, 240]

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
  const grid = { stroke: 'color-mix(in srgb, currentColor 12%, transparent)', width: 1 }
  const axis = { stroke: ink, grid: { ...grid, stroke: '#8884' }, ticks: { stroke: '#8884' } }
  return {
    width: Math.max(parent.clientWidth, 200),
    height: 240,
    legend: { show: lines.length <= 12 },
    scales: { y: { range: (_, __, most) => [0, (most || 1) * 1.05] } },
    axes: [
      axis,
      { ...axis, size: 70, values: (_, ticks) => ticks.map((tick) => quantity(tick, 'W')) },
    ],
    series: [
      {},
      ...lines
        .map(({ xname, watts }, i) => ({
          label: xname,
          stroke: `hsl(${hues[i % hues.length]} 60% 45%)`,
          fill: `hsl(${hues[i % hues.length]} 60% 55%)`,
          points: { show: false },
          value: (_: uPlot, __: number, ___: number, at: number | null) =>
            quantity(at === null ? null : watts[at], 'W'),
        }))
        .reverse(),
    ],
  }
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
