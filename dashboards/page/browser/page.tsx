import { render } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { facts } from './facts.ts'
import { Job } from './job.tsx'
import { Jobs } from './jobs.tsx'
import { Node } from './node.tsx'
import { Now } from './now.tsx'
import { Place } from './place.tsx'
import { Power } from './power.tsx'

function Page() {
  const [hash, setHash] = useState(location.hash)
  useEffect(() => {
    const follow = () => setHash(location.hash)
    addEventListener('hashchange', follow)
    return () => removeEventListener('hashchange', follow)
  }, [])
  const [, view = '', ...parts] = hash.split('/').map(decodeURIComponent)
  return (
    <>
      <header>
        <h1>Joulebridge</h1>
        <nav aria-label="Views">
          {links.map(({ title, url, views }) => (
            <a key={title} href={url} aria-current={views.includes(view) ? 'page' : undefined}>
              {title}
            </a>
          ))}
        </nav>
      </header>
      <main>
        <View key={hash} view={view} parts={parts} />
      </main>
    </>
  )
}

function View({ view, parts: [first = '', second = ''] }: { view: string; parts: string[] }) {
  if (facts.service === 'control') return <Power transitionId={first} />
  if (view === 'jobs' && second !== '') return <Job cluster={first} jobId={second} />
  if (view === 'nodes' && first !== '') return <Node xname={first} />
  if (view === 'places' && first !== '') return <Place xname={first} />
  return view === 'jobs' ? <Jobs /> : <Now />
}

/** Ours and, where it is known, those of the other service. */
const links = (['record', 'control'] as const).flatMap((service) => {
  const own = facts.service === service
  const base = own ? '' : facts.otherUrl
  if (base === undefined) return []
  const views =
    service === 'control'
      ? [{ title: 'Power', path: '#/', views: ['', 'transitions'] }]
      : [
          { title: 'Now', path: '#/', views: ['', 'nodes', 'places'] },
          { title: 'Jobs', path: '#/jobs', views: ['jobs'] },
        ]
  return views.map(({ title, path, views: shown }) => ({
    title,
    url: base + path,
    views: own ? shown : [],
  }))
})

render(<Page />, document.body)
