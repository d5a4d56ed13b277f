import { Counter, Histogram, type Registry } from 'prom-client'

export interface HttpMetrics {
  requests: Counter<'route' | 'status'>
  duration: Histogram<'route'>
}

export function registerHttpMetrics(registry: Registry): HttpMetrics {
  const registers = [registry]
  return {
    requests: new Counter({
      name: 'joulebridge_power_http_requests_total',
      help: 'Requests to the API of power control, by route and status; route none: no such.',
      labelNames: ['route', 'status'],
      registers,
    }),
    duration: new Histogram({
      name: 'joulebridge_power_http_request_duration_seconds',
      help: 'From a request to the end of its answer.',
      labelNames: ['route'],
      buckets: [0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10],
      registers,
    }),
  }
}
