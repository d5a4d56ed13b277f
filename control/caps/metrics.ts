import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

export interface CapMetrics {
  tasks: Counter<'type'>
  components: Counter<'type' | 'outcome'>
  inFlight: Gauge
  duration: Histogram<'type'>
  deviceErrors: Counter<'reason'>
}

/** `oldestSeconds` is asked at each scrape; without the database the gauge has no value. */
export function registerCapMetrics(
  registry: Registry,
  oldestSeconds: () => Promise<number>,
): CapMetrics {
  const registers = [registry]
  new Gauge({
    name: 'joulebridge_power_cap_oldest_component_seconds',
    help: 'Age of the oldest component of a power-cap task that has not ended; 0: all have.',
    registers,
    async collect() {
      this.reset()
      await oldestSeconds().then(
        (seconds) => this.set(seconds),
        () => this.remove(),
      )
    },
  })
  return {
    tasks: new Counter({
      name: 'joulebridge_power_cap_tasks_total',
      help: 'Power-cap tasks accepted by this process.',
      labelNames: ['type'],
      registers,
    }),
    components: new Counter({
      name: 'joulebridge_power_cap_components_total',
      help: 'Components of power-cap tasks that this process has brought to their end.',
      labelNames: ['type', 'outcome'],
      registers,
    }),
    inFlight: new Gauge({
      name: 'joulebridge_power_cap_components_in_flight',
      help: 'Components of power-cap tasks that this process is working on.',
      registers,
    }),
    duration: new Histogram({
      name: 'joulebridge_power_cap_component_duration_seconds',
      help: 'From the claim of a component by this process to its end.',
      labelNames: ['type'],
      buckets: [0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120],
      registers,
    }),
    deviceErrors: new Counter({
      name: 'joulebridge_power_cap_device_errors_total',
      help: 'Requests for power limits that failed: no answer, or an answer that refuses.',
      labelNames: ['reason'],
      registers,
    }),
  }
}
