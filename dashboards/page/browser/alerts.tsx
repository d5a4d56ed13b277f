import { useState } from 'preact/hooks'
import type { Alert, Alerts } from './api.ts'
import { moment } from './format.ts'
import { Answer, useAnswer } from './loading.tsx'
import { isWithin, PlaceLink } from './place-link.tsx'
import { Runbook } from './runbook.tsx'

const first = 20

/** The alerts that fire, all of them or those within a place. */
export function useAlerts() {
  return useAnswer<Alerts>('/api/v1/alerts', 15)
}

interface Shown {
  of: { value?: Alerts; error?: string }
  /** Only what is about this place or one within it. */
  place?: string
}

/** What fires and what to do about it. */
export function AlertList({ of, place }: Shown) {
  return (
    <section aria-label="Alerts">
      <h2 id="alerts">Alerts</h2>
      <Answer of={of}>
        {(found) => {
          const alerts = found.alerts.filter(
            (alert) => place === undefined || (alert.place && isWithin(alert.place, place)),
          )
          return (
            <>
              {found.error !== null && <p role="alert">{found.error}</p>}
              <List alerts={alerts} more={place === undefined ? found.more : 0} />
            </>
          )
        }}
      </Answer>
    </section>
  )
}

function List({ alerts, more }: { alerts: readonly Alert[]; more: number }) {
  const [all, setAll] = useState(false)
  if (alerts.length === 0) return <p>None fires.</p>
  const shown = all ? alerts : alerts.slice(0, first)
  return (
    <>
      <ul class="alerts">
        {shown.map((alert) => (
          <Entry key={`${alert.alert} ${alert.place} ${alert.summary}`} alert={alert} />
        ))}
      </ul>
      {alerts.length > shown.length && (
        <button type="button" onClick={() => setAll(true)}>
          Show all {alerts.length}
        </button>
      )}
      {all && more > 0 && <p class="quiet">{more} more fire.</p>}
    </>
  )
}

function Entry({ alert: { alert, severity, place, since, summary, ...rest } }: { alert: Alert }) {
  return (
    <li class={severity}>
      <p>
        <b class="badge">{severity || 'alert'}</b> <Linked text={summary} place={place} />
        {since !== null && <span class="quiet"> since {moment(since)}</span>}
      </p>
      <Advice alert={alert} {...rest} />
    </li>
  )
}

/** The text with the place in it as a link, or after it. */
function Linked({ text, place }: { text: string; place: string | null }) {
  if (place === null) return text
  const at = text.indexOf(place)
  if (at < 0) {
    return (
      <>
        {text}, <PlaceLink xname={place} />
      </>
    )
  }
  return (
    <>
      {text.slice(0, at)}
      <PlaceLink xname={place} />
      {text.slice(at + place.length)}
    </>
  )
}

type Advised = Pick<Alert, 'alert' | 'description' | 'runbook'>

/** The runbook is asked for when somebody opens it. */
function Advice({ alert, description, runbook }: Advised) {
  const [open, setOpen] = useState(false)
  if (!runbook && description === '') return null
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{alert}: what it means, what to do</summary>
      {description !== '' && <p>{description}</p>}
      {runbook && open && <Runbook alert={alert} />}
    </details>
  )
}

/** Where they are known from, and how to know of more. */
export function AlertSource({ of: { value } }: { of: { value?: Alerts } }) {
  if (value === undefined) return null
  const { source, url, known } = value
  if (source !== 'record') return <p class="quiet">Alerts are those of {url}.</p>
  return (
    <p class="quiet">
      Alerts: the record looks by itself, at its newest samples, for {known?.join(', ')}.{' '}
      {url === null && (
        <>
          For all alerts set <code>remote_write.alerts.url</code> to the Prometheus that evaluates{' '}
          <code>dashboards/rules</code>, or to its Alertmanager.
        </>
      )}
    </p>
  )
}

/** How many fire, by severity. */
export function AlertFigure({ of: { value, error } }: { of: { value?: Alerts; error?: string } }) {
  const fault = error ?? value?.error ?? undefined
  const worst = value?.alerts[0]?.severity ?? ''
  return (
    <div class={`alerting ${worst}`}>
      <dt>Alerts firing</dt>
      <dd>
        {value === undefined || value.alerts.length === 0 ? (
          noneWords(fault, value)
        ) : (
          <button type="button" class="link" onClick={toList}>
            {counts(value)}
          </button>
        )}
      </dd>
    </div>
  )
}

/** An address with # would be taken for another view. */
function toList(): void {
  document.getElementById('alerts')?.scrollIntoView()
}

function noneWords(fault: string | undefined, value: Alerts | undefined): string {
  if (fault !== undefined) return 'not known'
  return value === undefined ? '…' : 'none'
}

function counts({ alerts, more }: Alerts): string {
  const of = (wanted: string) => alerts.filter(({ severity }) => severity === wanted).length
  const named = ['critical', 'warning', 'info'].flatMap((severity) => {
    const n = of(severity)
    return n === 0 ? [] : [`${n} ${severity}`]
  })
  const rest = alerts.length - of('critical') - of('warning') - of('info') + more
  return [...named, ...(rest > 0 ? [`${rest} more`] : [])].join(', ')
}
