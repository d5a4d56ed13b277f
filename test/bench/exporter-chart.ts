/** A line of a chart: its colour and its points, by time. */
export interface Line {
  name: string
  colour: string
  points: readonly { x: number; y: number }[]
}

export interface Chart {
  title: string
  xName: string
  yName: string
  lines: readonly Line[]
}

const [width, height] = [720, 300]
const margin = { left: 60, right: 20, top: 48, bottom: 44 }

/** SVG of lines from zero up, with a legend, readable on a light and on a dark page. */
export function chartSvg({ title, xName, yName, lines }: Chart): string {
  const all = lines.flatMap(({ points }) => points)
  const most = {
    x: Math.max(1, ...all.map(({ x }) => x)),
    y: Math.max(1, ...all.map(({ y }) => y)),
  }
  const [xStep, yStep] = [stepOf(most.x), stepOf(most.y)]
  const end = { x: most.x, y: Math.ceil(most.y / yStep) * yStep }
  const across = (x: number) => margin.left + (x / end.x) * (width - margin.left - margin.right)
  const up = (y: number) =>
    height - margin.bottom - (y / end.y) * (height - margin.top - margin.bottom)
  const grid = ticks(end.y, yStep).map(
    (y) =>
      `<path d="M${margin.left} ${up(y)}H${width - margin.right}" stroke="#8884"/>` +
      textAt(margin.left - 8, up(y) + 4, String(y), 'end'),
  )
  const marks = ticks(end.x, xStep).map((x) =>
    textAt(across(x), height - margin.bottom + 18, String(x), 'middle'),
  )
  const drawn = lines.map(({ colour, points }) => {
    const path = points.map(({ x, y }) => `${across(x).toFixed(1)} ${up(y).toFixed(1)}`).join('L')
    return `<path d="M${path}" fill="none" stroke="${colour}" stroke-width="2"/>`
  })
  const legend = lines.map(({ name, colour }, index) => {
    const x = margin.left + index * 200
    return (
      `<path d="M${x} 34h20" stroke="${colour}" stroke-width="3"/>` +
      textAt(x + 26, 38, name, 'start')
    )
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}"`,
    ' font-family="sans-serif" font-size="12">',
    `<title>${title}</title>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    textAt(margin.left, 18, title, 'start'),
    ...grid,
    ...marks,
    textAt(width / 2, height - 8, xName, 'middle'),
    `<g transform="translate(14 ${height / 2}) rotate(-90)">${textAt(0, 0, yName, 'middle')}</g>`,
    ...drawn,
    ...legend,
    '</svg>\n',
  ].join('\n')
}

/** 1, 2 or 5 times a power of ten, such that there are at most ten of them. */
function stepOf(most: number): number {
  const least = most / 10
  const power = 10 ** Math.floor(Math.log10(least))
  return power * ([1, 2, 5, 10].find((factor) => power * factor >= least) ?? 10)
}

function ticks(end: number, step: number): number[] {
  return Array.from({ length: Math.floor(end / step + 1e-9) + 1 }, (_, index) =>
    Number((index * step).toPrecision(12)),
  )
}

function textAt(x: number, y: number, text: string, anchor: 'start' | 'middle' | 'end'): string {
  const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" fill="#333">${escaped}</text>`
}
