import { useState } from 'preact/hooks'
import { send } from './api.ts'
import { type Operation, operations, type Plan } from './control-api.ts'
import { forget } from './statuses.ts'
import { Wide } from './wide.tsx'

interface Request {
  operation: Operation
  location: { xname: string }[]
  reason: string
  recursive: boolean
  prereq: boolean
  allowForce: boolean
  allowRunningJobs: boolean
  override: boolean
}

/** The same words that PCS and the command line have, and what they mean. */
const options = [
  ['recursive', 'with all within'],
  ['prereq', 'with all around that has a switch'],
  ['allowForce', 'by force where nothing graceful is offered'],
  ['allowRunningJobs', 'also under running jobs'],
  ['override', 'also what is protected'],
] as const

/** What was asked for and its plan, which is seen before it can be confirmed. */
interface Planned {
  request: Request
  plan: Plan['plan']
  /** The same for each try, so that one whose answer was lost is not done twice. */
  key: string
}

/** Changes the power of components: first the plan, then, confirmed, the change itself. */
export function Switch({ xnames }: { xnames: readonly string[] }) {
  const location = xnames.map((xname) => ({ xname }))
  const start = { operation: 'Soft-Off', location, reason: '' } as const
  const [request, setRequest] = useState<Request>({
    ...start,
    recursive: false,
    prereq: false,
    allowForce: false,
    allowRunningJobs: false,
    override: false,
  })
  const [planned, setPlanned] = useState<Planned>()
  const [fault, setFault] = useState<string>()
  const set = (change: Partial<Request>) => {
    setPlanned(undefined)
    setRequest({ ...request, ...change })
  }
  const showPlan = async () => {
    const body = { ...request, dryRun: true }
    const { plan } = await send<Plan>('POST', '/transitions', body)
    setPlanned({ request, plan, key: randomKey() })
  }
  const tryTo = (work: () => Promise<void>) => {
    setFault(undefined)
    work().catch((error: unknown) => setFault(String(error)))
  }
  return (
    <section>
      <h3>Change {xnames.length === 1 ? xnames[0] : `${xnames.length} components`}</h3>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          tryTo(showPlan)
        }}
      >
        <Choices request={request} set={set} /> <button type="submit">Show the plan</button>
      </form>
      {fault !== undefined && <p role="alert">{fault}</p>}
      {planned && <PlanTable plan={planned.plan} />}
      {planned?.plan.some(({ action }) => action === 'send' || action === 'wait') && (
        <button type="button" class="strong" onClick={() => tryTo(() => confirm(planned))}>
          {planned.request.operation} now
        </button>
      )}
    </section>
  )
}

interface ChoicesProps {
  request: Request
  set: (change: Partial<Request>) => void
}

function Choices({ request, set }: ChoicesProps) {
  return (
    <>
      <select
        aria-label="Operation"
        value={request.operation}
        onChange={(event) => set({ operation: event.currentTarget.value as Operation })}
      >
        {operations.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>{' '}
      <input
        placeholder="why; kept in the audit"
        aria-label="Reason"
        value={request.reason}
        onInput={(event) => set({ reason: event.currentTarget.value })}
      />{' '}
      {options.map(([name, words]) => (
        <label key={name}>
          <input
            type="checkbox"
            checked={request[name]}
            onChange={(event) => set({ [name]: event.currentTarget.checked })}
          />{' '}
          {words}
        </label>
      ))}
    </>
  )
}

function PlanTable({ plan }: { plan: Plan['plan'] }) {
  return (
    <Wide label="The plan">
      <table>
        <caption>The plan: nothing has been sent yet</caption>
        <thead>
          <tr>
            <th class="right">Order</th>
            <th>Component</th>
            <th>First</th>
            <th>Because</th>
            <th>Request</th>
          </tr>
        </thead>
        <tbody>
          {plan.map(({ order, xname, action, reason, method, url, body }) => (
            <tr key={xname}>
              <td class="right">{order ?? '–'}</td>
              <td>{xname}</td>
              <td>{action}</td>
              <td class="prose">{reason}</td>
              <td>
                {method === undefined ? (
                  '–'
                ) : (
                  <code>{`${method} ${url} ${JSON.stringify(body)}`}</code>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Wide>
  )
}

/** Refused when it would reach more or fewer components than the plan did. */
async function confirm({ request, plan, key }: Planned): Promise<void> {
  const body = { ...request, confirm: plan.length }
  const more = { 'idempotency-key': key }
  const made = await send<{ transitionID: string }>('POST', '/transitions', body, more)
  forget(plan.map(({ xname }) => xname))
  location.hash = `#/transitions/${made.transitionID}`
}

/** Not `randomUUID`, which browsers keep from pages without TLS. */
function randomKey(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join('-')
}
