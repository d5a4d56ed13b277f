import type { NodeNow } from './api.ts'

interface Square {
  node: NodeNow
  x: number
  y: number
}

export interface Layout {
  squares: Square[]
  titles: { text: string; x: number; y: number }[]
  height: number
}

const gap = 2
const head = 18

/** Chassis beside each other, as many as there is room for; nodes of one slot in one column. */
export function layOut(nodes: readonly NodeNow[], width: number, side: number): Layout {
  const chassis = new Map<string, NodeNow[]>()
  for (const node of nodes) {
    const name = /^x\d+c\d+/.exec(node.xname)?.[0] ?? node.xname
    const members = chassis.get(name) ?? []
    chassis.set(name, members)
    members.push(node)
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
