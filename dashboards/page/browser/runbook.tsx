import type { ComponentChildren } from 'preact'
import { Answer, useAnswer } from './loading.tsx'

/** What to do about an alert. */
export function Runbook({ alert }: { alert: string }) {
  const text = useAnswer<string>(`/api/v1/runbooks/${encodeURIComponent(alert)}`)
  return <Answer of={text}>{(found) => <div class="runbook">{blocks(found)}</div>}</Answer>
}

/** The Markdown that runbooks use: headings, paragraphs, lists and code within a line. */
function blocks(text: string): ComponentChildren[] {
  const found = text.split(/\n{2,}/).filter((block) => !block.startsWith('# '))
  return found.map((block) => {
    if (block.startsWith('## ')) return <h3 key={block}>{block.slice(3).trim()}</h3>
    if (!block.startsWith('- ')) return <p key={block}>{inline(block)}</p>
    const points = block.slice(2).split(/\n- /)
    return (
      <ul key={block}>
        {points.map((point) => (
          <li key={point}>{inline(point)}</li>
        ))}
      </ul>
    )
  })
}

function inline(text: string): ComponentChildren[] {
  const parts = text
    .split('`')
    .map((part, i) => (i % 2 === 1 ? <code key={part}>{part}</code> : part))
  return parts
}
