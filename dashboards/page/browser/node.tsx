import { useMemo, useState } from 'preact/hooks'
import { AlertList, useAlerts } from './alerts.tsx'
import type { Job, PowerHistory } from './api.ts'
import { PowerChart } from './chart.tsx'
import { JobTable, useOrder } from './job-table.tsx'
import { Answer, useAnswer } from './loading.tsx'
import { PlaceTitle } from './place.tsx'
import { Span } from './span.tsx'

/** One node: its power over the last hours, and the jobs that held it then. */
export function Node({ xname }: { xname: string }) {
  const alerts = useAlerts()
  const [hours, setHours] = useState(6)
  const { power, jobs } = useMemo(() => paths(xname, hours), [xname, hours])
  const history = useAnswer<PowerHistory>(power)
  const order = useOrder('Start')
  const held = useAnswer<{ jobs: Job[] }>(jobs)
  return (
    <section>
      <PlaceTitle xname={xname} />
      <AlertList of={alerts} place={xname} />
      <h2>
        Power <Span hours={hours} set={setHours} />
      </h2>
      <Answer of={history}>
        {(found) =>
          found.lines.length === 0 ? (
            <p class="quiet">No samples of power in this time.</p>
          ) : (
            <PowerChart history={found} label={`Power of ${xname}`} />
          )
        }
      </Answer>
      <h2>Its jobs</h2>
      <Answer of={held}>
        {(found) =>
          found.jobs.length === 0 ? (
            <p class="quiet">None in this time.</p>
          ) : (
            <JobTable jobs={found.jobs} order={order} />
          )
        }
      </Answer>
    </section>
  )
}

function paths(xname: string, hours: number): { power: string; jobs: string } {
  const now = Date.now()
  const from = new Date(now - hours * 3_600_000).toISOString()
  const span = new URLSearchParams({ xname, from, to: new Date(now).toISOString() })
  const jobs = new URLSearchParams({ xname, since: from, limit: '100' })
  return { power: `/api/v1/nodes/power?${span}`, jobs: `/api/v1/jobs?${jobs}` }
}
