import { useRef, useState } from 'preact/hooks'
import type { ComponentStatus } from './control-api.ts'
import { moment } from './format.ts'

interface Chooser {
  found: readonly ComponentStatus[]
  chosen: ReadonlySet<string>
  choose: (chosen: ReadonlySet<string>) => void
}

/** Pixels; the style sheet keeps rows at that. */
const rowHeight = 32
/** Rows beyond what is seen, so that Tab always has a next one to go to. */
const ahead = 10

/** Components to choose from. Of many thousand only the rows in sight are made. */
export function Components({ found, chosen, choose }: Chooser) {
  const [top, setTop] = useState(0)
  const place = useRef<HTMLElement>(null)
  const from = Math.max(0, Math.min(Math.floor(top / rowHeight), found.length - 1) - ahead)
  const seen = Math.ceil((place.current?.clientHeight ?? 400) / rowHeight)
  const rows = found.slice(from, from + seen + 2 * ahead)
  const turn = (xname: string) =>
    choose(chosen.has(xname) ? without(chosen, xname) : new Set([...chosen, xname]))
  return (
    <>
      <p class="quiet">
        {found.length} components, {chosen.size} chosen{' '}
        <button type="button" onClick={() => choose(new Set(found.map(({ xname }) => xname)))}>
          Choose all {found.length}
        </button>{' '}
        <button type="button" onClick={() => choose(new Set())}>
          Choose none
        </button>
      </p>
      <section
        ref={place}
        class="wide tall"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must do so by keyboard.
        tabIndex={0}
        aria-label="Components"
        onScroll={(event) => setTop(event.currentTarget.scrollTop)}
      >
        <table aria-rowcount={found.length + 1}>
          <thead>
            <tr aria-rowindex={1}>
              <th>Component</th>
              <th>Power</th>
              <th>Seen since</th>
            </tr>
          </thead>
          <tbody>
            <Gap rows={from} />
            {rows.map((component, i) => (
              <tr key={component.xname} aria-rowindex={from + i + 2} class="row">
                <Cells component={component} chosen={chosen} turn={turn} />
              </tr>
            ))}
            <Gap rows={found.length - from - rows.length} />
          </tbody>
        </table>
      </section>
    </>
  )
}

/** As high as the rows that are not made. */
function Gap({ rows }: { rows: number }) {
  if (rows <= 0) return null
  return <tr style={{ height: `${rows * rowHeight}px` }} />
}

interface CellsProps {
  component: ComponentStatus
  chosen: ReadonlySet<string>
  turn: (xname: string) => void
}

function Cells({ component: { xname, powerState, error, changedAt }, chosen, turn }: CellsProps) {
  return (
    <>
      <td>
        <label>
          <input type="checkbox" checked={chosen.has(xname)} onChange={() => turn(xname)} /> {xname}
        </label>
      </td>
      <td>
        <span class={`state ${powerState === 'on' || powerState === 'off' ? powerState : ''}`}>
          {powerState}
        </span>{' '}
        {error}
      </td>
      <td>{moment(changedAt ?? null)}</td>
    </>
  )
}

function without(chosen: ReadonlySet<string>, xname: string): ReadonlySet<string> {
  return new Set([...chosen].filter((each) => each !== xname))
}
