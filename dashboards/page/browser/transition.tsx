import { useEffect, useState } from 'preact/hooks'
import { send } from './api.ts'
import type { AuditRow, Transition as TransitionAnswer } from './control-api.ts'
import { moment } from './format.ts'
import { Answer, useAnswer } from './loading.tsx'
import { Wide } from './wide.tsx'

const mostShown = 500

/** One transition as it goes on: its components, and what the audit keeps of it. */
export function Transition({ id }: { id: string }) {
  const place = `/transitions/${encodeURIComponent(id)}`
  const [ended, setEnded] = useState(false)
  const seconds = ended ? undefined : 1
  const answer = useAnswer<TransitionAnswer>(place, seconds)
  const audit = useAnswer<{ audit: AuditRow[] }>(`/audit?limit=${mostShown}&id=${id}`, seconds)
  const status = answer.value?.transitionStatus ?? ''
  useEffect(() => setEnded(status === 'completed' || status === 'aborted'), [status])
  return (
    <section>
      <h2>Transition</h2>
      <Answer of={answer}>
        {(found) => (
          <>
            <Progress of={found} />
            {!ended && <Abort place={place} />}
            <Tasks of={found.tasks} />
          </>
        )}
      </Answer>
      <h3>Audit</h3>
      <Answer of={audit}>{({ audit: rows }) => <Audit rows={rows} />}</Answer>
    </section>
  )
}

function Progress({
  of: { operation, createTime, transitionStatus, taskCounts, result },
}: {
  of: TransitionAnswer
}) {
  const { total = 0, succeeded = 0, failed = 0, 'un-supported': unsupported = 0 } = taskCounts
  return (
    <>
      <p aria-live="polite">
        <b>{operation}</b>, asked {moment(createTime)}: {transitionStatus}
        {result !== undefined && `, ${result}`}. Of {total} components {succeeded} succeeded,{' '}
        {failed + unsupported} failed.
      </p>
      <progress
        aria-label="Components that have ended"
        max={total}
        value={succeeded + failed + unsupported}
      />
    </>
  )
}

function Abort({ place }: { place: string }) {
  const [said, setSaid] = useState<string>()
  const abort = () =>
    send('DELETE', place).then(
      () => setSaid('Nothing more will be sent; what was sent is not undone.'),
      (error: unknown) => setSaid(String(error)),
    )
  return (
    <p>
      <button type="button" onClick={abort}>
        Abort
      </button>{' '}
      {said}
    </p>
  )
}

function Tasks({ of: tasks }: { of: TransitionAnswer['tasks'] }) {
  return (
    <>
      {tasks.length > mostShown && <p class="quiet">The first {mostShown} components.</p>}
      <Wide label="Components">
        <table>
          <thead>
            <tr>
              <th>Component</th>
              <th>State</th>
              <th>Power</th>
              <th>What happened last</th>
            </tr>
          </thead>
          <tbody>
            {tasks.slice(0, mostShown).map((task) => (
              <tr key={task.xname}>
                <td>{task.xname}</td>
                <td>{task.state ?? task.taskStatus}</td>
                <td>
                  {task.powerStateBefore ?? '–'} → {task.powerState ?? '–'}
                </td>
                <td class="prose">{task.error ?? task.taskStatusDescription}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Wide>
    </>
  )
}

function Audit({ rows }: { rows: readonly AuditRow[] }) {
  return (
    <Wide label="Audit">
      <table>
        <thead>
          <tr>
            <th>Time</th>
            <th>Event</th>
            <th>User</th>
            <th>Component</th>
            <th>What</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ auditID, time, event, user, xname, sent, outcome, reason }) => (
            <tr key={auditID}>
              <td>{new Date(time).toLocaleTimeString()}</td>
              <td>{event}</td>
              <td>{user ?? '–'}</td>
              <td>{xname ?? '–'}</td>
              <td class="prose">{[sent, outcome, reason].filter(Boolean).join('; ')}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Wide>
  )
}
