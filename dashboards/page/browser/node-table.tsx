import { useState } from 'preact/hooks'
import type { NodeNow } from './api.ts'
import { quantity } from './format.ts'
import { Wide } from './wide.tsx'

const most = 500

/** What the map shows, for who reads rather than looks; made only while it is open. */
export function NodeTable({ nodes }: { nodes: readonly NodeNow[] }) {
  const [open, setOpen] = useState(false)
  const [words, setWords] = useState('')
  const found = open ? nodes.filter(({ xname }) => xname.startsWith(words.trim())) : []
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>The same as a table</summary>
      {nodes.length > most && (
        <p>
          <input
            type="search"
            placeholder="place, such as x1000c0"
            aria-label="Search nodes"
            value={words}
            onInput={(event) => setWords(event.currentTarget.value)}
          />{' '}
          {found.length > most && `the first ${most} of ${found.length} nodes`}
        </p>
      )}
      <Rows nodes={found.slice(0, most)} />
    </details>
  )
}

function Rows({ nodes }: { nodes: readonly NodeNow[] }) {
  return (
    <Wide label="Nodes">
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
              <td>
                <a href={`#/nodes/${node.xname}`}>{node.xname}</a>
              </td>
              <td class="right">{quantity(node.power_watts, 'W')}</td>
              <td class="right">{quantity(node.temperature_celsius, '°C')}</td>
              <td>{node.job_ids.join(', ')}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Wide>
  )
}
