import { render } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { Job } from './job.tsx'
import { Jobs } from './jobs.tsx'
import { Now } from './now.tsx'

function Page() {
  const [hash, setHash] = useState(location.hash)
  useEffect(() => {
    const follow = () => setHash(location.hash)
    addEventListener('hashchange', follow)
    return () => removeEventListener('hashchange', follow)
  }, [])
  const [, view = '', cluster = '', jobId = ''] = hash.split('/')
  const current = (name: string) => (view === name ? ('page' as const) : undefined)
  return (
    <>
      <header>
        <h1>Joulebridge</h1>
        <nav aria-label="Views">
          <a href="#/" aria-current={current('')}>
            Now
          </a>
          <a href="#/jobs" aria-current={current('jobs')}>
            Jobs
          </a>
        </nav>
      </header>
      <main>
        {view === 'jobs' && jobId !== '' ? (
          <Job key={hash} cluster={decodeURIComponent(cluster)} jobId={jobId} />
        ) : view === 'jobs' ? (
          <Jobs />
        ) : (
          <Now />
        )}
      </main>
    </>
  )
}

render(<Page />, document.body)
