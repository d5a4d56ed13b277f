import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { NodeNow } from './api.ts'
import { quantity } from './format.ts'

export type Measure = 'power_watts' | 'temperature_celsius'

interface Square {
  node: NodeNow
  x: number
  y: number
}

interface Layout {
  squares: Square[]
  titles: { text: string; x: number; y: number }[]
  height: number
}

const gap = 2
const head = 18

/** The system as its cabinets, their chassis, and a square for each node. */
export function SystemMap({ nodes, measure }: { nodes: NodeNow[]; measure: Measure }) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const [width, setWidth] = useState(600)
  const [pointed, setPointed] = useState<NodeNow>()
  const side = nodes.length > 4000 ? 7 : nodes.length > 500 ? 11 : 26
  const layout = useMemo(() => layOut(nodes, width, side), [nodes, width, side])
  const most = Math.max(...nodes.map((node) => node[measure] ?? 0), 1)
  const least = measure === 'power_watts' ? 0 : 15
  useEffect(() => {
    const element = canvas.current
    if (!element) return
    const watch = new ResizeObserver(() => setWidth(element.parentElement?.clientWidth ?? 600))
    if (element.parentElement) watch.observe(element.parentElement)
    return () => watch.disconnect()
  }, [])
  useEffect(() => {
    const context = canvas.current?.getContext('2d')
    if (!context || !canvas.current) return
    const ratio = devicePixelRatio
    canvas.current.width = width * ratio
    canvas.current.height = layout.height * ratio
    context.scale(ratio, ratio)
    context.fillStyle = getComputedStyle(canvas.current).color
    context.font = '12px system-ui, sans-serif'
    for (const { text, x, y } of layout.titles) context.fillText(text, x, y)
    for (const { node, x, y } of layout.squares) {
      context.fillStyle = heat(node[measure], least, most)
      context.fillRect(x, y, side, side)
    }
  }, [layout, measure])
  const point = (event: MouseEvent) => {
    const found = layout.squares.find(
      ({ x, y }) =>
        event.offsetX >= x &&
        event.offsetX < x + side &&
        event.offsetY >= y &&
        event.offsetY < y + side,
    )
    setPointed(found?.node)
  }
  return (
    <figure>
      <canvas
        ref={canvas}
        style={{ width: `${width}px`, height: `${layout.height}px` }}
        role="img"
        aria-label={`${nodes.length} nodes by cabinet and chassis, coloured by ${words[measure]}`}
        onMouseMove={point}
        onMouseLeave={() => setPointed(undefined)}
      />
      <figcaption>
        {pointed ? (
          <NodeWords node={pointed} />
        ) : (
          <span class="quiet">
            {words[measure]} from {shown(least, measure)} to {shown(most, measure)}
            <i class="scale" />
          </span>
        )}
      </figcaption>
      <details>
        <summary>The same as a table</summary>
        <NodeTable nodes={nodes} />
      </details>
    </figure>
  )
}

const words = { power_watts: 'Power', temperature_celsius: 'Temperature' } as const

function shown(value: number | null, measure: Measure): string {
  return measure === 'power_watts' ? quantity(value, 'W') : quantity(value, '°C')
}

function NodeWords({ node }: { node: NodeNow }) {
  return (
    <span>
      <b>{node.xname}</b> {quantity(node.power_watts, 'W')},{' '}
      {quantity(node.temperature_celsius, '°C')}
      {node.job_ids.length > 0 && `, job ${node.job_ids.join(', ')}`}
    </span>
  )
}

function NodeTable({ nodes }: { nodes: readonly NodeNow[] }) {
  return (
    <div class="wide">
      <table>
        <thead>
          <tr>
            <th>Node</th>
            <th class="right">Power</th>
            <th class="right">Temperature</th>
            <th>Jobs</th>
          </tr>
        </thead>
        <tbody>
          {nodes.map((node) => (
            <tr key={node.xname}>
              <td>{node.xname}</td>
              <td class="right">{quantity(node.power_watts, 'W')}</td>
              <td class="right">{quantity(node.temperature_celsius, '°C')}</td>
              <td>{node.job_ids.join(', ')}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

/** From blue over green and yellow to red; grey where nothing is known. */
export function heat(value: number | null, least: number, most: number): string {
  if (value === null) return '#8886'
  const part = Math.min(Math.max((value - least) / (most - least), 0), 1)
  return `hsl(${220 - 220 * part} 65% ${55 - 8 * part}%)`
}

/** Chassis beside each other, as many as there is room for; nodes of one slot in one column. */
function layOut(nodes: readonly NodeNow[], width: number, side: number): Layout {
  const chassis = new Map<string, NodeNow[]>()
  for (const node of nodes) {
    const name = /^x\d+c\d+/.exec(node.xname)?.[0] ?? node.xname
    chassis.set(name, [...(chassis.get(name) ?? []), node])
  }
  const layout: Layout = { squares: [], titles: [], height: 0 }
  let [left, top, rowHeight] = [0, 0, 0]
  for (const [name, members] of [...chassis].sort(byName)) {
    const slots = [...new Set(members.map(slotOf))].sort(numeric)
    const rows = Math.max(...slots.map((slot) => members.filter((m) => slotOf(m) === slot).length))
    const boxWidth = Math.max(slots.length * (side + gap), 60) + 12
    if (left > 0 && left + boxWidth > width) [left, top, rowHeight] = [0, top + rowHeight, 0]
    layout.titles.push({ text: name, x: left, y: top + 12 })
    for (const [column, slot] of slots.entries()) {
      for (const [row, node] of members.filter((m) => slotOf(m) === slot).entries()) {
        const [x, y] = [left + column * (side + gap), top + head + row * (side + gap)]
        layout.squares.push({ node, x, y })
      }
    }
    left += boxWidth
    rowHeight = Math.max(rowHeight, head + rows * (side + gap) + 10)
  }
  layout.height = top + rowHeight
  return layout
}

function slotOf({ xname }: NodeNow): string {
  return /s\d+/.exec(xname)?.[0] ?? ''
}

function byName([a]: [string, unknown], [b]: [string, unknown]): number {
  return numeric(a, b)
}

function numeric(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true })
}
