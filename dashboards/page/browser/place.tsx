import { useMemo, useState } from 'preact/hooks'
import { AlertList, useAlerts } from './alerts.tsx'
import type { NodeNow, Overview, PowerHistory } from './api.ts'
import { PowerChart } from './chart.tsx'
import { Answer, useAnswer } from './loading.tsx'
import { ColourChoice, type Measure, SystemMap } from './map.tsx'
import { around, isWithin, PlaceLink } from './place-link.tsx'
import { Span } from './span.tsx'

/** A cabinet, a chassis or a device: what fires there, its nodes, their power. */
export function Place({ xname }: { xname: string }) {
  const alerts = useAlerts()
  const overview = useAnswer<Overview>('/api/v1/overview', 10)
  const [measure, setMeasure] = useState<Measure>('power_watts')
  return (
    <section>
      <PlaceTitle xname={xname} />
      <AlertList of={alerts} place={xname} />
      <Answer of={overview}>
        {({ nodes: all }) => {
          const { outer, nodes } = nodesAt(xname, all)
          if (nodes.length === 0) return <p class="quiet">No node with power is known here.</p>
          return (
            <>
              <h2>
                Nodes of {outer} <ColourChoice measure={measure} set={setMeasure} />
              </h2>
              <SystemMap nodes={nodes} measure={measure} />
              <Power names={nodes.map((node) => node.xname).join()} outer={outer} />
            </>
          )
        }}
      </Answer>
    </section>
  )
}

/** Its name, with links to what it is in. */
export function PlaceTitle({ xname }: { xname: string }) {
  const outer = around(xname).slice(0, -1)
  return (
    <>
      {outer.length > 0 && (
        <nav aria-label="Around it" class="around">
          {outer.map((each) => (
            <PlaceLink key={each} xname={each} />
          ))}
        </nav>
      )}
      <h2>{xname}</h2>
    </>
  )
}

/** Those within the place or, of a controller or a rectifier, of what it belongs to. */
function nodesAt(xname: string, all: readonly NodeNow[]): { outer: string; nodes: NodeNow[] } {
  for (const outer of around(xname).reverse()) {
    const nodes = all.filter((node) => isWithin(node.xname, outer))
    if (nodes.length > 0) return { outer, nodes }
  }
  return { outer: xname, nodes: [] }
}

/** As many as the record answers for at once. */
const mostLines = 512

function Power({ names, outer }: { names: string; outer: string }) {
  const [hours, setHours] = useState(6)
  const path = useMemo(() => {
    const now = Date.now()
    const from = new Date(now - hours * 3_600_000).toISOString()
    const parameters = new URLSearchParams({ from, to: new Date(now).toISOString() })
    for (const name of names.split(',').slice(0, mostLines)) parameters.append('xname', name)
    return `/api/v1/nodes/power?${parameters}`
  }, [names, hours])
  const power = useAnswer<PowerHistory>(path)
  return (
    <>
      <h2>
        Power of its nodes <Span hours={hours} set={setHours} />
      </h2>
      <Answer of={power}>
        {(history) => <PowerChart history={history} label={`Power of the nodes of ${outer}`} />}
      </Answer>
    </>
  )
}
