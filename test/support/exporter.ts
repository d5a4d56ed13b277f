import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { z } from 'zod'
import { deviceKinds, deviceList } from '../../exporter/inventory/static.ts'
import { startExporter } from '../../exporter/main.ts'
import { createLog, type Logger } from '../../exporter/service/log.ts'
import { type ExporterSettings, exporterSection } from '../../exporter/settings.ts'
import { until } from './command.ts'
import { login, type TestDevice } from './device.ts'

/** One line of a scrape. */
export interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}

export interface TestExporter {
  url: string
  /** The samples of `/metrics`, or of another path. */
  scrape(path?: string): Promise<Sample[]>
  /** Scrapes `/metrics` until it is as wanted. */
  scrapeUntil(wanted: (samples: Sample[]) => boolean): Promise<Sample[]>
  /** Has it read its settings again, where `source` was given. */
  reload(): Promise<void>
  close(): Promise<void>
}

export interface TestExporterOptions {
  devices: { xname: string; server: Pick<TestDevice, 'url' | 'certificate'> }[]
  /** Of the devices; theirs unless given. */
  password?: string
  /** Where the exporter finds it, as BMC_PASSWORD; for one that changes. */
  env?: NodeJS.ProcessEnv
  poll?: Partial<ExporterSettings['poll']>
  forwardUrl?: string
  pmCounters?: ExporterSettings['pmCounters']
  /** Of the section `exporter`; they come before what else is given here. */
  settings?: Omit<NonNullable<z.input<typeof exporterSection>>, 'poll' | 'web'>
  log?: Logger
  /** What it finds in its settings when it reads them again. */
  reread?: (settings: ExporterSettings) => Promise<ExporterSettings>
}

const quickPoll = {
  fastSeconds: 0.1,
  slowSeconds: 0.2,
  timeoutSeconds: 5,
  gapSeconds: 0.001,
  perDevice: 8,
  /** Each kind at these paces, not at those that it bears. */
  kinds: Object.fromEntries(deviceKinds.map((kind) => [kind, {}])),
}

/** The real exporter on a free port, polling these devices each tenth of a second. */
export async function startTestExporter(options: TestExporterOptions): Promise<TestExporter> {
  const directory = await mkdtemp(join(tmpdir(), 'joulebridge-exporter-'))
  const caFile = join(directory, 'ca.pem')
  await writeFile(caFile, options.devices.map(({ server }) => server.certificate).join('\n'))
  const section = exporterSection.parse({
    web: { listenAddress: '127.0.0.1:0' },
    poll: { ...quickPoll, stateSeconds: options.poll?.slowSeconds ?? 0.2, ...options.poll },
    ...(options.pmCounters && { pmCounters: options.pmCounters }),
    credentials: [{ username: login.username, password: { env: 'BMC_PASSWORD' }, caFile }],
    forward: options.forwardUrl ? { url: options.forwardUrl, intervalSeconds: 0.1 } : {},
    ...options.settings,
  })
  const devices = deviceList.parse(
    options.devices.map(({ xname, server }) => ({ xname, url: server.url })),
  )
  const log = options.log ?? createLog('exporter', quiet)
  const env = options.env ?? { BMC_PASSWORD: options.password ?? login.password }
  const settings: ExporterSettings = { ...section, log: quiet, devices }
  const { reread } = options
  const source = reread && { file: caFile, read: () => reread(settings) }
  const service = await startExporter(settings, { log, env, source })
  const scrape = async (path = '/metrics') => parseSamples(await textOf(service.url + path))
  return {
    url: service.url,
    scrape,
    scrapeUntil: (wanted) =>
      until(async () => {
        const samples = await scrape()
        return wanted(samples) ? samples : undefined
      }, 20),
    reload: async () => await service.reload?.(),
    async close() {
      await service.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

const quiet = { level: 'silent', format: 'json' } as const

async function textOf(url: string): Promise<string> {
  const response = await fetch(url)
  const text = await response.text()
  if (!response.ok) throw new Error(`${url}: HTTP ${response.status} ${text}`)
  return text
}

/** Prometheus text 0.0.4, read in another way than the exporter writes it. */
export function parseSamples(text: string): Sample[] {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return lines.map((line) => {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line)
    if (!match) throw new Error(`not a sample: ${line}`)
    const [, name = '', labels = '', value = ''] = match
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)]
    return {
      name,
      labels: Object.fromEntries(pairs.map(([, key, text]) => [key, unescaped(text ?? '')])),
      value: Number(value.replace('Inf', 'Infinity')),
    }
  })
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/g, (_, each: string) => (each === 'n' ? '\n' : each))
}

/** The value of the one sample with this name and at least these labels. */
export function sampleValue(
  samples: readonly Sample[],
  name: string,
  labels: Record<string, string>,
): number {
  const found = samplesOf(samples, name, labels)
  if (found[0] === undefined || found.length > 1) {
    throw new Error(`${name}${JSON.stringify(labels)}: expected one sample, got ${found.length}`)
  }
  return found[0].value
}

export function samplesOf(
  samples: readonly Sample[],
  name: string,
  labels: Record<string, string> = {},
): Sample[] {
  const wanted = Object.entries(labels)
  return samples.filter(
    (sample) =>
      sample.name === name && wanted.every(([key, value]) => sample.labels[key] === value),
  )
}
