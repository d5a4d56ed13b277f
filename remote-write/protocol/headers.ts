import { RequestError } from '../../exporter/service/request-error.ts'

export type WriteVersion = '1.0' | '2.0'

/** The `proto` parameter of the content type, which alone tells the version. */
const versions = new Map<string, WriteVersion>([
  ['prometheus.WriteRequest', '1.0'],
  ['io.prometheus.write.v2.Request', '2.0'],
])

/**
 * The version of a remote-write request. Senders of 1.0 may leave out either header, and older
 * ones name no message.
 * @throws {RequestError} 415 for any other content, so that a sender may fall back.
 */
export function writeVersion(type: string | undefined, encoding: string | undefined): WriteVersion {
  const { media, parameters } = parseContentType(type ?? 'application/x-protobuf')
  const version = versions.get(parameters.get('proto') ?? 'prometheus.WriteRequest')
  if (media !== 'application/x-protobuf' || version === undefined) {
    throw unsupported('content-type', type)
  }
  checkEncoding(encoding)
  return version
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
  const wanted = 'application/x-protobuf, of remote write 1.0 or 2.0, as a snappy block'
  const message = `${header} ${value} is not taken, only ${wanted}`
  return new RequestError(415, 'unsupported_media', message)
}
