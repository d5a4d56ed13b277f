import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { NodeNow } from './api.ts'
import { quantity } from './format.ts'
import { type Layout, layOut } from './layout.ts'
import { NodeTable } from './node-table.tsx'
import { placePath } from './place-link.tsx'

export type Measure = 'power_watts' | 'temperature_celsius'

interface Chosen {
  measure: Measure
  set: (measure: Measure) => void
}

/** What the colour of a node tells. */
export function ColourChoice({ measure, set }: Chosen) {
  return (
    <select
      aria-label="Colour of the nodes"
      value={measure}
      onChange={(event) => set(event.currentTarget.value as Measure)}
    >
      <option value="power_watts">by power</option>
      <option value="temperature_celsius">by temperature</option>
    </select>
  )
}

/** The system as its cabinets, their chassis, and a square for each node. */
export function SystemMap({ nodes, measure }: { nodes: NodeNow[]; measure: Measure }) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const [width, setWidth] = useState(0)
  const [pointed, setPointed] = useState<NodeNow>()
  const side = sideOf(nodes.length)
  const layout = useMemo(() => layOut(width === 0 ? [] : nodes, width, side), [nodes, width, side])
  const most = useMemo(
    () => Math.max(...nodes.map((node) => node[measure] ?? 0), 1),
    [nodes, measure],
  )
  // Else 10,000 rows would be compared at each move of the mouse.
  const table = useMemo(() => <NodeTable nodes={nodes} />, [nodes])
  const least = measure === 'power_watts' ? 0 : 15
  // Before the first drawing, lest all be laid out twice.
  useLayoutEffect(() => {
    const around = canvas.current?.parentElement
    if (!around) return
    const measureWidth = () => setWidth(around.clientWidth)
    measureWidth()
    const watch = new ResizeObserver(measureWidth)
    watch.observe(around)
    return () => watch.disconnect()
  }, [])
  useEffect(() => {
    const context = canvas.current?.getContext('2d')
    if (!context || !canvas.current || width === 0) return
    const ratio = devicePixelRatio
    canvas.current.width = width * ratio
    canvas.current.height = layout.height * ratio
    context.scale(ratio, ratio)
    context.fillStyle = getComputedStyle(canvas.current).color
    context.font = '12px system-ui, sans-serif'
    for (const { text, x, y } of layout.titles) context.fillText(text, x, y)
    for (const { node, x, y } of layout.squares) {
      context.fillStyle = colour(node[measure], least, most)
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
        onClick={(event) => show(nodeAt(event)?.xname ?? titleAt(event, layout))}
        onMouseLeave={() => setPointed(undefined)}
      />
      <figcaption>
        {pointed ? (
          <NodeWords node={pointed} />
        ) : (
          <span class="quiet">
            {words[measure]} {shown(least, measure)} <i class="scale" /> {shown(most, measure)}
          </span>
        )}
      </figcaption>
      {table}
    </figure>
  )
}

function show(xname: string | undefined): void {
  if (xname !== undefined) location.hash = placePath(xname)
}

/** The chassis whose name is there. */
function titleAt({ offsetX, offsetY }: MouseEvent, { titles }: Layout): string | undefined {
  return titles.find(
    ({ x, y }) => offsetX >= x && offsetX < x + 60 && offsetY > y - 14 && offsetY < y + 6,
  )?.text
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

/** Pixels of a node's square: a small system needs no magnifying glass, a large one fits. */
function sideOf(nodes: number): number {
  if (nodes > 4000) return 7
  if (nodes > 500) return 11
  return nodes > 100 ? 26 : 40
}

/** ColorBrewer's RdYlBu, which eyes that mistake red for green tell apart too. */
const stops = [
  [69, 117, 180],
  [145, 191, 219],
  [250, 214, 120],
  [252, 141, 89],
  [215, 48, 39],
] as const

/** From blue to red; grey where nothing is known. */
function colour(value: number | null, least: number, most: number): string {
  if (value === null) return '#8886'
  const part = Math.min(Math.max((value - least) / (most - least), 0), 1) * (stops.length - 1)
  const at = Math.min(Math.floor(part), stops.length - 2)
  const [from, to] = [stops[at], stops[at + 1]]
  const mixed = from?.map((each, i) => Math.round(each + ((to?.[i] ?? 0) - each) * (part - at)))
  return `rgb(${mixed?.join(' ')})`
}
