import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'

/** Recording rules and alerts, and the limits of the site: one file each, all of them wanted. */
export const ruleFiles = fileURLToPath(new URL('rules/*.yml', import.meta.url))

export interface PrometheusTargets {
  /** `host:port` of each service's own listener. */
  exporter: string
  remoteWrite: string
  control: string
  scrapeSeconds: number
  /** Rules ask far more than scrapes do: give them a longer pace. */
  evaluationSeconds: number
}

/**
 * A Prometheus configuration that scrapes all three services, evaluates the rules, remote-writes
 * what it scrapes and finds, and remote-reads what is older than its own storage, so that PromQL
 * sees the whole record. Series of the devices carry `job="joulebridge"`.
 */
export function prometheusConfig(targets: PrometheusTargets): string {
  const { exporter, remoteWrite, control, scrapeSeconds, evaluationSeconds } = targets
  const scrape = (job: string, target: string, limits = {}) => ({
    job_name: job,
    ...limits,
    static_configs: [{ targets: [target] }],
  })
  return stringify({
    global: {
      scrape_interval: `${scrapeSeconds}s`,
      scrape_timeout: `${scrapeSeconds}s`,
      evaluation_interval: `${evaluationSeconds}s`,
    },
    rule_files: [ruleFiles],
    scrape_configs: [
      scrape('joulebridge', exporter),
      scrape('joulebridge-jobs', remoteWrite),
      scrape('joulebridge-control', control),
    ],
    remote_write: [
      {
        url: `http://${remoteWrite}/api/v1/write`,
        queue_config: { batch_send_deadline: '1s', max_samples_per_send: 2000 },
        // Each node's power is there already, under the name it was scraped by.
        write_relabel_configs: [{ source_labels: ['__name__'], regex: 'node:.+', action: 'drop' }],
      },
    ],
    remote_read: [{ url: `http://${remoteWrite}/api/v1/read`, read_recent: false }],
  })
}
