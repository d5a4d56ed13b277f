const spans = [
  [1, 'last hour'],
  [6, 'last 6 hours'],
  [24, 'last day'],
  [168, 'last week'],
] as const

/** How many of the last hours are shown. */
export function Span({ hours, set }: { hours: number; set: (hours: number) => void }) {
  return (
    <select
      aria-label="Time shown"
      value={hours}
      onChange={(event) => set(Number(event.currentTarget.value))}
    >
      {spans.map(([value, title]) => (
        <option key={value} value={value}>
          {title}
        </option>
      ))}
    </select>
  )
}
