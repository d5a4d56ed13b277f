import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { NodeNow } from './api.ts'
import { quantity } from './format.ts'
import { layOut } from './layout.ts'
import { NodeTable } from './node-table.tsx'

export type Measure = 'power_watts' | 'temperature_celsius'

/** The system as its cabinets, their chassis, and a square for each node. */
export function SystemMap({ nodes, measure }: { nodes: NodeNow[]; measure: Measure }) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const [width, setWidth] = useState(600)
  const [pointed, setPointed] = useState<NodeNow>()
  const side = nodes.length > 4000 ? 7 : nodes.length > 500 ? 11 : 26
  const layout = useMemo(() => layOut(nodes, width, side), [nodes, width, side])
  const most = useMemo(
    () => Math.max(...nodes.map((node) => node[measure] ?? 0), 1),
    [nodes, measure],
  )
  // Else 10,000 rows would be compared at each move of the mouse.
  const table = useMemo(() => <NodeTable nodes={nodes} />, [nodes])
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
  const nodeAt = (event: MouseEvent) => {
    const found = layout.squares.find(
      ({ x, y }) =>
        event.offsetX >= x &&
        event.offsetX < x + side &&
        event.offsetY >= y &&
        event.offsetY < y + side,
    )
    return found?.node
  }
  return (
    <figure>
      <canvas
        ref={canvas}
        style={{ width: `${width}px`, height: `${layout.height}px` }}
        role="img"
        aria-label={`${nodes.length} nodes by cabinet and chassis, coloured by ${words[measure]}`}
        onMouseMove={(event) => setPointed(nodeAt(event))}
        onClick={(event) => show(nodeAt(event))}
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
      {table}
    </figure>
  )
}

function show(node: NodeNow | undefined): void {
  if (node) location.hash = `#/nodes/${node.xname}`
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

/** From blue over green and yellow to red; grey where nothing is known. */
export function heat(value: number | null, least: number, most: number): string {
  if (value === null) return '#8886'
  const part = Math.min(Math.max((value - least) / (most - least), 0), 1)
  return `hsl(${220 - 220 * part} 65% ${55 - 8 * part}%)`
}
