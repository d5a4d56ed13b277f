import { RequestError } from '../../exporter/service/request-error.ts'

const v1Message = 'prometheus.WriteRequest'

/**
 * Accepts the headers of a remote-write 1.0 request; senders leave out either header, and the
 * specification's older senders name no message.
 * @throws {RequestError} 415 for any other content, so that a sender of 2.0 may fall back.
 */
export function checkWriteHeaders(type: string | undefined, encoding: string | undefined): void {
  const { media, parameters } = parseContentType(type ?? 'application/x-protobuf')
  const message = parameters.get('proto') ?? v1Message
  if (media !== 'application/x-protobuf' || message !== v1Message) {
    throw unsupported('content-type', type)
  }
  checkEncoding(encoding)
}

/** @throws {RequestError} 415 unless the body is a snappy block. */
export function checkEncoding(encoding: string | undefined): void {
  if ((encoding ?? 'snappy').trim().toLowerCase() !== 'snappy') {
    throw unsupported('content-encoding', encoding)
  }
}

function parseContentType(text: string): { media: string; parameters: Map<string, string> } {
  const [media = '', ...rest] = text.split(';').map((part) => part.trim())
  const parameters = rest.map((part): [string, string] => {
    const [name = '', value = ''] = part.split('=').map((side) => side.trim())
    return [name.toLowerCase(), value.replace(/^"(.*)"$/, '$1')]
  })
  return { media: media.toLowerCase(), parameters: new Map(parameters) }
}

function unsupported(header: string, value: string | undefined): RequestError {
  const wanted = 'remote write 1.0: application/x-protobuf, snappy'
  return new RequestError(
    415,
    'unsupported_media',
    `${header} ${value} is not taken, only ${wanted}`,
  )
}
