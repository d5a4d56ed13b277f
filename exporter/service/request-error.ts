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
