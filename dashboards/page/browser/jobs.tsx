import { useEffect, useMemo, useState } from 'preact/hooks'
import type { Job } from './api.ts'
import { JobTable, useOrder } from './job-table.tsx'
import { Answer, useAnswer } from './loading.tsx'
import { Span } from './span.tsx'

const most = 500

/** The jobs of some time that used most, or started last, and hold the words searched for. */
export function Jobs() {
  const [hours, setHours] = useState(24)
  const [words, setWords] = useState('')
  const order = useOrder('Energy')
  // Other orders are among those that used most.
  const sort = order.sorted.title === 'Start' ? 'start' : 'energy'
  const path = usePath({ hours, words, sort })
  const answer = useAnswer<{ jobs: Job[] }>(path, 60)
  return (
    <section>
      <h2>
        Jobs <Span hours={hours} set={setHours} />
      </h2>
      <input
        type="search"
        placeholder="user, account, name, state or number"
        aria-label="Search jobs"
        value={words}
        onInput={(event) => setWords(event.currentTarget.value)}
      />
      {answer.value === undefined && answer.error === undefined && (
        <Meanwhile key={path} hours={hours} words={words} />
      )}
      <Answer of={answer}>
        {({ jobs }) => (
          <>
            <p class="quiet">
              {jobs.length < most
                ? `${jobs.length} jobs`
                : `The ${most} jobs that ${sort === 'energy' ? 'used most' : 'started last'}`}
            </p>
            <JobTable jobs={jobs} order={order} />
          </>
        )}
      </Answer>
    </section>
  )
}

/** Ranking many thousand jobs may take some seconds: what is known at once stands in its place. */
function Meanwhile({ hours, words }: { hours: number; words: string }) {
  const [seconds, setSeconds] = useState(0)
  useEffect(() => {
    const timer = setInterval(() => setSeconds((last) => last + 1), 1000)
    return () => clearInterval(timer)
  }, [])
  const path = usePath({ hours, words, sort: 'start', limit: 50 })
  const answer = useAnswer<{ jobs: Job[] }>(seconds >= patience ? path : undefined)
  const order = useOrder('Start')
  if (answer.value === undefined) return null
  return (
    <>
      <p class="quiet" aria-live="polite">
        All jobs are ranked by their energy, for {seconds} s now. Until then, those that started
        last:
      </p>
      <JobTable jobs={answer.value.jobs} order={order} />
    </>
  )
}

/** So many seconds a ranking may take before anything else is asked. */
const patience = 2

interface Question {
  hours: number
  words: string
  sort: string
  limit?: number
}

/** Where to ask, when whoever types has paused. */
function usePath({ hours, words, sort, limit = most }: Question): string {
  const [search, setSearch] = useState(words)
  useEffect(() => {
    const timer = setTimeout(() => setSearch(words), 200)
    return () => clearTimeout(timer)
  }, [words])
  return useMemo(() => {
    const since = new Date(Date.now() - hours * 3_600_000).toISOString()
    const parameters = new URLSearchParams({ limit: String(limit), sort, since, search })
    return `/api/v1/jobs?${parameters}`
  }, [hours, search, sort, limit])
}
