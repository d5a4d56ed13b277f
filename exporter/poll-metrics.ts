import { counter, gauge } from './metric.ts'

const device = ['xname', 'bmc'] as const

/** How the exporter fares with each device. */
export const pollMetrics = [
  gauge(
    'cray_device_up',
    'Whether the device answered any request of its last poll of power and energy.',
    device,
  ),
  gauge(
    'cray_device_scrape_duration_seconds',
    'How long the last poll of power and energy took.',
    device,
  ),
  gauge(
    'cray_device_last_success_timestamp_seconds',
    'Unix time of the last poll that the device answered: the age of what is shown of it.',
    device,
  ),
  gauge(
    'cray_device_held',
    'Whether the device is left alone for a while, as control or a batch scheduler has asked.',
    device,
  ),
  gauge(
    'cray_device_backoff_until_timestamp_seconds',
    'Unix time of the next poll of a device that fails or refuses the login, and so is polled ' +
      'more seldom; absent while it is polled at its pace.',
    device,
  ),
  counter(
    'cray_device_requests_total',
    'Requests sent to the device and answered or failed, but for logins to sessions.',
    device,
  ),
  counter(
    'cray_device_errors_total',
    'Requests that failed: unreachable, timeout, unauthorized, unsupported or malformed.',
    [...device, 'reason'],
  ),
  gauge(
    'cray_device_round_requests',
    'Requests of the last round: fast (power and energy), state (power states, health, limits), ' +
      'structure (what the device has) and slow (the rest).',
    [...device, 'round'],
  ),
  gauge(
    'cray_device_requests_per_reading',
    'Requests of the last fast, state and slow round together for each reading that is shown.',
    device,
  ),
  gauge(
    'cray_device_certificate_expiry_timestamp_seconds',
    'Unix time at which the certificate ends that the device showed last, trusted or not.',
    device,
  ),
  gauge(
    'cray_device_login_refused',
    'Whether the password of the device was refused (HTTP 401): by it, after two refusals in a ' +
      'row it gets the same again only after 5 minutes, then after up to 30; or by two others ' +
      'with the same login, and then one of all gets it again each 30 minutes.',
    device,
  ),
  gauge(
    'cray_device_login_pause_until_timestamp_seconds',
    'Until when the device does not get the refused password again, lest it lock the account; ' +
      'absent when it may.',
    device,
  ),
  gauge(
    'cray_device_series_cut',
    'Series of a device beyond the 10000 that are shown; absent while there are none.',
    device,
  ),
  counter(
    'cray_device_sessions_total',
    'Redfish sessions opened on the device; only where the settings ask for them.',
    device,
  ),
] as const
