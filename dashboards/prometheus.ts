import { stringify } from 'yaml'

export interface PrometheusTargets {
  /** `host:port` of each service's own listener. */
  exporter: string
  remoteWrite: string
  control: string
  scrapeSeconds: number
}

/**
 * A Prometheus configuration that scrapes all three services, remote-writes what it scrapes and
 * remote-reads what is older than its own storage, so that PromQL sees the whole record. Series of
 * the devices carry `job="joulebridge"`.
 */
export function prometheusConfig(targets: PrometheusTargets): string {
  const { exporter, remoteWrite, control, scrapeSeconds } = targets
  const scrape = (job: string, target: string, limits = {}) => ({
    job_name: job,
    ...limits,
    static_configs: [{ targets: [target] }],
  })
  return stringify({
    global: {
      scrape_interval: `${scrapeSeconds}s`,
      scrape_timeout: `${scrapeSeconds}s`,
      evaluation_interval: `${scrapeSeconds}s`,
    },
    scrape_configs: [
      scrape('joulebridge', exporter),
      scrape('joulebridge-jobs', remoteWrite),
      scrape('joulebridge-control', control),
    ],
    remote_write: [
      {
        url: `http://${remoteWrite}/api/v1/write`,
        queue_config: { batch_send_deadline: '1s', max_samples_per_send: 2000 },
      },
    ],
    remote_read: [{ url: `http://${remoteWrite}/api/v1/read`, read_recent: false }],
  })
}
