import type { Board } from '../board.ts'

export const joulebridge: Board = {
  uid: 'joulebridge-itself',
  title: 'Joulebridge itself',
  description: 'Polling, ingest, the database, and the processes.',
  variables: [],
  from: 'now-3h',
  rows: [
    {
      title: 'Devices',
      panels: [
        {
          kind: 'states',
          title: 'Services',
          description: "Whether Prometheus reaches each service's metrics.",
          unit: 'none',
          width: 8,
          targets: [{ promql: 'max by (job) (up{job=~"joulebridge.*"})', legend: '{{job}}' }],
          words: { 0: { text: 'down', color: 'red' }, 1: { text: 'up', color: 'green' } },
          alerts: ['ServiceDown'],
        },
        {
          kind: 'series',
          title: 'Requests to devices',
          description: 'Requests of the exporter to all devices.',
          unit: 'reqps',
          width: 8,
          min: 0,
          targets: [
            {
              promql: 'sum(rate(cray_device_requests_total[$__rate_interval]))',
              legend: 'requests',
            },
          ],
        },
        {
          kind: 'series',
          title: 'Errors of devices',
          description: 'Requests that failed, by what went wrong.',
          unit: 'reqps',
          width: 8,
          min: 0,
          targets: [
            {
              promql: 'sum by (reason) (rate(cray_device_errors_total[$__rate_interval]))',
              legend: '{{reason}}',
            },
          ],
          alerts: ['CredentialsRefused'],
        },
      ],
    },
    {
      title: 'Ingest',
      panels: [
        {
          kind: 'series',
          title: 'Samples',
          description: 'Samples received, and those that were new and are stored.',
          unit: 'cps',
          width: 8,
          min: 0,
          targets: [
            {
              promql: 'sum(rate(joulebridge_samples_received_total[$__rate_interval]))',
              legend: 'received',
            },
            {
              promql: 'sum(rate(joulebridge_samples_stored_total[$__rate_interval]))',
              legend: 'stored',
            },
          ],
          alerts: ['IngestStopped', 'SamplesRejected', 'SamplesDropped', 'ForwardingLags'],
        },
        {
          kind: 'series',
          title: 'Commit',
          description: 'Mean time of a commit over five minutes.',
          unit: 's',
          width: 8,
          min: 0,
          targets: [{ promql: 'instance:commit_seconds:mean5m', legend: '{{instance}}' }],
          limits: { above: { warning: 'site:commit_seconds:warning' } },
          alerts: ['IngestSlow', 'IngestFailing'],
        },
        {
          kind: 'series',
          title: 'Lag of the newest sample',
          description: "The newest sample's time, seen from when the record was last looked at.",
          unit: 's',
          width: 8,
          targets: [
            {
              promql: `max by (instance) (joulebridge_storage_read_timestamp_seconds
  - joulebridge_storage_newest_sample_timestamp_seconds)`,
              legend: '{{instance}}',
            },
          ],
          limits: { above: { warning: 'site:ingest_lag_seconds:warning' } },
          alerts: ['IngestLag'],
        },
      ],
    },
    {
      title: 'The record',
      panels: [
        {
          kind: 'series',
          title: 'On disk',
          description: 'Tables and indexes by what they hold.',
          unit: 'bytes',
          width: 8,
          min: 0,
          stacked: true,
          targets: [{ promql: 'max by (kind) (joulebridge_storage_bytes)', legend: '{{kind}}' }],
          limits: { above: { warning: 'site:database_bytes:warning' } },
          alerts: ['DatabaseLarge'],
        },
        {
          kind: 'series',
          title: 'Series',
          description: 'Series that the record knows.',
          unit: 'none',
          width: 8,
          min: 0,
          targets: [{ promql: 'max(joulebridge_series)', legend: 'series' }],
          alerts: ['RecordAbsent'],
        },
        {
          kind: 'series',
          title: 'Windows that wait for compaction',
          description: 'Windows of four hours that could be compacted and are not.',
          unit: 'none',
          width: 8,
          min: 0,
          targets: [{ promql: 'max(joulebridge_compaction_windows_due)', legend: 'due' }],
          limits: { above: { warning: 'site:compaction_windows_due:warning' } },
          alerts: ['CompactionLags', 'RetentionOverdue'],
        },
      ],
    },
    {
      title: 'Processes',
      panels: [
        {
          kind: 'series',
          title: 'CPU',
          description: 'CPU time per second of each service.',
          unit: 'percentunit',
          width: 8,
          min: 0,
          targets: [
            {
              promql: `max by (job) (
  rate(process_cpu_seconds_total{job=~"joulebridge.*"}[$__rate_interval]))`,
              legend: '{{job}}',
            },
          ],
        },
        {
          kind: 'series',
          title: 'Memory',
          description: 'Resident memory of each service.',
          unit: 'bytes',
          width: 8,
          min: 0,
          targets: [
            {
              promql: 'max by (job) (process_resident_memory_bytes{job=~"joulebridge.*"})',
              legend: '{{job}}',
            },
          ],
        },
        {
          kind: 'stat',
          title: 'Limits of the site in force',
          description:
            "Limits of the rules' site.yml that Prometheus has: an alert without its limit rests.",
          unit: 'none',
          width: 8,
          height: 8,
          targets: [
            {
              promql: `count(count by (__name__) (
  {__name__=~"site:.+:(warning|critical|min|low|lost)"}))`,
            },
          ],
          alerts: ['SiteLimitMissing'],
        },
      ],
    },
  ],
}
