import { useMemo, useState } from 'preact/hooks'
import { setToken, token } from './api.ts'
import { Components } from './components.tsx'
import type { ComponentStatus, TransitionSummary } from './control-api.ts'
import { moment } from './format.ts'
import { Answer, useAnswer } from './loading.tsx'
import { forgetAll, useStatuses } from './statuses.ts'
import { Switch } from './switch.tsx'
import { Transition } from './transition.tsx'
import { Wide } from './wide.tsx'

/**
 * Power control, for who has a token or shows a certificate: components, a change of them, and what
 * became of it.
 */
export function Power({ transitionId }: { transitionId: string }) {
  const [known, setKnown] = useState(token() !== undefined)
  // A browser shows its user's certificate by itself, where there is TLS.
  const tried = location.protocol === 'https:' && !known ? '/transitions?limit=1' : undefined
  const certified = useAnswer<unknown>(tried)
  const give = (value: string | undefined) => {
    setToken(value)
    forgetAll()
    setKnown(value !== undefined)
  }
  if (tried !== undefined && certified.value === undefined && certified.error === undefined) {
    return <p class="quiet">Loading …</p>
  }
  if (!known && certified.value === undefined) return <AskToken give={give} />
  return (
    <>
      {transitionId === '' ? <Overview /> : <Transition id={transitionId} />}
      {known ? (
        <p>
          <button type="button" onClick={() => give(undefined)}>
            Forget the token
          </button>
        </p>
      ) : (
        <p class="quiet">You are known by the certificate that your browser shows.</p>
      )}
    </>
  )
}

function AskToken({ give }: { give: (token: string) => void }) {
  const [value, setValue] = useState('')
  return (
    <section>
      <h2>Power</h2>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          if (value.trim() !== '') give(value.trim())
        }}
      >
        <label>
          Your token of power control{' '}
          <input
            type="password"
            autocomplete="off"
            value={value}
            onInput={(event) => setValue(event.currentTarget.value)}
          />
        </label>{' '}
        <button type="submit">Use it</button>
      </form>
      <p class="quiet">It is kept in this tab until you close it.</p>
    </section>
  )
}

function Overview() {
  const status = useStatuses()
  const [words, setWords] = useState('')
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set())
  const found = useMemo(() => matching(status.value ?? [], words), [status.value, words])
  return (
    <section>
      <h2>Components</h2>
      <p>
        <input
          type="search"
          placeholder="place or state, such as x1000c0s0 on"
          aria-label="Search components"
          value={words}
          onInput={(event) => setWords(event.currentTarget.value)}
        />{' '}
        <button
          type="button"
          disabled={status.reading}
          onClick={() => status.again(found.map(({ xname }) => xname))}
        >
          Read {words.trim() === '' ? 'all' : 'these'} again
        </button>{' '}
        <span class="quiet" aria-live="polite">
          {status.reading ? 'The devices are asked …' : `as of ${moment(status.readAt || null)}`}
        </span>
      </p>
      <Answer of={status}>
        {() => <Components key={words} found={found} chosen={chosen} choose={setChosen} />}
      </Answer>
      {chosen.size > 0 && <Switch key={[...chosen].join()} xnames={[...chosen]} />}
      <Transitions />
    </section>
  )
}

function matching(all: readonly ComponentStatus[], words: string): ComponentStatus[] {
  const wanted = words.toLowerCase().split(/\s+/)
  return all.filter(({ xname, powerState }) =>
    wanted.every((word) => xname.startsWith(word) || powerState.startsWith(word)),
  )
}

function Transitions() {
  const answer = useAnswer<{ transitions: TransitionSummary[] }>('/transitions?limit=20', 5)
  return (
    <>
      <h3>Last transitions</h3>
      <Answer of={answer}>
        {({ transitions }) =>
          transitions.length === 0 ? <p class="quiet">None yet.</p> : <List of={transitions} />
        }
      </Answer>
    </>
  )
}

function List({ of: transitions }: { of: TransitionSummary[] }) {
  return (
    <Wide label="Last transitions">
      <table>
        <thead>
          <tr>
            <th>Asked</th>
            <th>Operation</th>
            <th>Status</th>
            <th>Result</th>
            <th class="right">Components</th>
          </tr>
        </thead>
        <tbody>
          {transitions.map((each) => (
            <tr key={each.transitionID}>
              <td>
                <a href={`#/transitions/${each.transitionID}`}>{moment(each.createTime)}</a>
              </td>
              <td>{each.operation}</td>
              <td>{each.transitionStatus}</td>
              <td>{each.result ?? '–'}</td>
              <td class="right">{each.taskCounts['total']}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Wide>
  )
}
