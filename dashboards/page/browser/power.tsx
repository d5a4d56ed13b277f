import { useState } from 'preact/hooks'
import { setToken, token } from './api.ts'
import type { ComponentStatus, TransitionSummary } from './control-api.ts'
import { moment } from './format.ts'
import { Answer, useAnswer } from './loading.tsx'
import { Switch } from './switch.tsx'
import { Transition } from './transition.tsx'

/** Power control, for who has a token: components, a change of them, and what became of it. */
export function Power({ transitionId }: { transitionId: string }) {
  const [known, setKnown] = useState(token() !== undefined)
  const give = (value: string | undefined) => {
    setToken(value)
    setKnown(value !== undefined)
  }
  if (!known) return <AskToken give={give} />
  return (
    <>
      {transitionId === '' ? <Overview /> : <Transition id={transitionId} />}
      <p>
        <button type="button" onClick={() => give(undefined)}>
          Forget the token
        </button>
      </p>
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

const mostShown = 200

function Overview() {
  const [again, setAgain] = useState(0)
  const status = useAnswer<{ status: ComponentStatus[] }>(`/power-status?again=${again}`)
  const [words, setWords] = useState('')
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set())
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
        <button type="button" onClick={() => setAgain(again + 1)}>
          Read again
        </button>
      </p>
      <Answer of={status}>
        {({ status: all }) => (
          <Components found={matching(all, words)} chosen={chosen} choose={setChosen} />
        )}
      </Answer>
      {chosen.size > 0 && <Switch key={[...chosen].join()} xnames={[...chosen]} />}
      <Transitions />
    </section>
  )
}

function matching(all: ComponentStatus[], words: string): ComponentStatus[] {
  const wanted = words.toLowerCase().split(/\s+/)
  return all.filter(({ xname, powerState }) =>
    wanted.every((word) => xname.startsWith(word) || powerState.startsWith(word)),
  )
}

interface Chooser {
  found: ComponentStatus[]
  chosen: ReadonlySet<string>
  choose: (chosen: ReadonlySet<string>) => void
}

function Components({ found, chosen, choose }: Chooser) {
  const turn = (xname: string) =>
    choose(chosen.has(xname) ? without(chosen, xname) : new Set([...chosen, xname]))
  return (
    <>
      <p class="quiet">
        {found.length} components
        {found.length > mostShown && `, the first ${mostShown} of them here`}, {chosen.size} chosen
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must do so by keyboard. */}
      <section class="wide tall" tabIndex={0} aria-label="Components">
        <table>
          <thead>
            <tr>
              <th>Component</th>
              <th>Power</th>
              <th>Seen since</th>
            </tr>
          </thead>
          <tbody>
            {found.slice(0, mostShown).map(({ xname, powerState, error, changedAt }) => (
              <tr key={xname}>
                <td>
                  <label>
                    <input
                      type="checkbox"
                      checked={chosen.has(xname)}
                      onChange={() => turn(xname)}
                    />{' '}
                    {xname}
                  </label>
                </td>
                <td>
                  <State word={powerState} /> {error}
                </td>
                <td>{moment(changedAt ?? null)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </>
  )
}

function without(chosen: ReadonlySet<string>, xname: string): ReadonlySet<string> {
  return new Set([...chosen].filter((each) => each !== xname))
}

function State({ word }: { word: string }) {
  return <span class={`state ${word === 'on' || word === 'off' ? word : ''}`}>{word}</span>
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
    <div class="wide">
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
    </div>
  )
}
