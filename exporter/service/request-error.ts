/**
 * A fault of the caller. The HTTP shell answers it with its status as `application/problem+json`
 * (RFC 9457). `code` is stable and meant for programs; the message names thing, place and value.
 */
export class RequestError extends Error {
  override readonly name = 'RequestError'
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.status = status
    this.code = code
  }
}

/**
 * We can't serve now, whatever the request: answered 503 with Retry-After. It is logged, but not
 * for each request that meets it.
 */
export class UnavailableError extends Error {
  override readonly name = 'UnavailableError'
  readonly status = 503
  readonly code: string
  readonly retryAfterSeconds: number

  constructor(
    code: string,
    message: string,
    options: ErrorOptions & { retryAfterSeconds?: number } = {},
  ) {
    super(message, options)
    this.code = code
    this.retryAfterSeconds = options.retryAfterSeconds ?? 5
  }
}
