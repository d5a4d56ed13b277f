import type { Express, Router } from 'express'
import type { Registry } from 'prom-client'
import { exposition, openMetricsEnd, ownMetrics, Renderer } from './exposition.ts'
import { ExpositionCache } from './exposition-cache.ts'
import { parseXname } from './inventory/xname.ts'
import type { PmCounters } from './polling/pm-counters.ts'
import type { PolledDevice } from './polling/polled-device.ts'
import { createApp, finishApp, sendMetrics } from './service/http.ts'
import type { Logger } from './service/log.ts'
import { RequestError } from './service/request-error.ts'

export interface ExporterApp {
  devices: readonly PolledDevice[]
  /** The counters of the node itself, when they are read. */
  inBand?: PmCounters | undefined
  /** What others may ask of the polling. */
  leases: Router
  registry: Registry
  log: Logger
}

/** The exporter's routes: all devices, one device now, and which devices there are. */
export function exporterApp({ devices, inBand, leases, registry, log }: ExporterApp): Express {
  const renderer = new Renderer()
  const cache = new ExpositionCache(() => (inBand === undefined ? devices : [...devices, inBand]))
  const metrics = async (openMetrics: boolean) => {
    cache.keepFresh()
    const own = await ownMetrics(registry, openMetrics)
    const tail = own + (openMetrics ? openMetricsEnd : '')
    return cache.render(openMetrics, tail, devices.length > mostAtOnce ? mostLateMs : 0)
  }
  const app = createApp({ log, registry, ready: () => firstPoll(devices), metrics })
  app.get('/', (_request, response) => {
    response.type('html').send(landingPage)
  })
  app.get('/sd', (request, response) => {
    const address = request.get('host') ?? 'localhost'
    response.json(devices.map((device) => discovered(device, address)))
  })
  app.get('/probe', async (request, response) => {
    const device = findDevice(devices, request.query['target'])
    const module = parseModule(request.query['module'])
    const timeout = request.get('x-prometheus-scrape-timeout-seconds')
    const left = new AbortController()
    response.once('close', () => left.abort())
    const readings = await device.probe(module, {
      milliseconds: deadlineMs(timeout),
      left: left.signal,
    })
    if (left.signal.aborted) return
    await sendMetrics(request, response, async (openMetrics) => {
      const text = exposition([renderer.text(readings)], openMetrics)
      return openMetrics ? text + openMetricsEnd : text
    })
  })
  app.use('/api/v1', leases)
  return finishApp(app, log)
}

/** Of more devices than this, what came within the last second may be left for the next scrape. */
const mostAtOnce = 100
const mostLateMs = 1000

/** Before any device was polled, a scrape would show less than there is. */
async function firstPoll(devices: readonly PolledDevice[]): Promise<void> {
  if (devices.length > 0 && !devices.some((device) => device.polled)) {
    throw new Error('no device has been polled yet')
  }
}

/** A target as Prometheus's http_sd has it, ready to be scraped through `/probe` as it stands. */
function discovered({ device, kind }: PolledDevice, address: string) {
  const { xname } = device
  return {
    targets: [address],
    labels: {
      __metrics_path__: '/probe',
      __param_target: xname,
      instance: xname,
      __meta_joulebridge_xname: xname,
      __meta_joulebridge_cabinet: /^x\d+/.exec(xname)?.[0] ?? '',
      __meta_joulebridge_chassis: /^x\d+c\d+/.exec(xname)?.[0] ?? '',
      __meta_joulebridge_slot: /^x\d+c\d+[sr]\d+/.exec(xname)?.[0] ?? '',
      __meta_joulebridge_kind: kind ?? '',
    },
  }
}

/** By xname, or by the host of its URL with or without the port. */
function findDevice(devices: readonly PolledDevice[], target: unknown): PolledDevice {
  if (typeof target !== 'string' || target === '') {
    throw new RequestError(400, 'target_missing', 'target: expected the xname of a device')
  }
  const found = devices.find(({ device }) => {
    const { host, hostname } = new URL(device.url)
    return [device.xname, host, hostname].includes(normalised(target))
  })
  if (found) return found
  const message = `target: ${JSON.stringify(target)} is no device of the settings`
  throw new RequestError(400, 'target_unknown', message)
}

function normalised(target: string): string {
  try {
    return parseXname(target).text
  } catch {
    return target.toLowerCase()
  }
}

function parseModule(module: unknown): 'all' | 'power' {
  if (module === undefined || module === '' || module === 'all') return 'all'
  if (module === 'power') return 'power'
  const message = `module: expected all or power, got ${JSON.stringify(module)}`
  throw new RequestError(400, 'module_unknown', message)
}

/** Half a second less than the scraper waits, for the way back; without its header, a minute. */
function deadlineMs(scrapeTimeoutSeconds: string | undefined): number {
  const seconds = Number(scrapeTimeoutSeconds)
  if (!(seconds > 0)) return 60_000
  return Math.max(100, Math.min(seconds, 3600) * 1000 - 500)
}

const landingPage = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Joulebridge exporter</title></head>
<body>
<h1>Joulebridge exporter</h1>
<p>Power, energy, temperature and humidity of HPE Cray EX systems and their racks.</p>
<ul>
<li><a href="/metrics">Metrics</a> of all devices, as of their last polls, and of this process</li>
<li><code>/probe?target=x1000c0b0</code>: one device, asked now;
<code>&amp;module=power</code> for its power and energy alone</li>
<li><a href="/sd">Devices</a>, for the HTTP service discovery of Prometheus</li>
<li><a href="/-/healthy">Healthy</a>, <a href="/-/ready">ready</a></li>
</ul>
</body>
</html>
`
