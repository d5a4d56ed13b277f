import { fieldAt, listAt, textAt } from './parse.ts'

/** A device's answer that is not a success. */
export interface Refusal {
  status: number
  /** Redfish's name for the reason, as `Base.1.8.ActionNotSupported`; undefined: it gives none. */
  messageId: string | undefined
  /** The device's own words, at most 300 characters. */
  message: string | undefined
  /** The header Retry-After; 0 when there is none. */
  retryAfterSeconds: number
}

const longestMessage = 300

/**
 * Reads an error response (DSP0266, "Error responses"): the first message of its extended
 * information, or else its `code`. A body that is none of that is no reason.
 */
export function parseRefusal(answer: {
  status: number
  text: string
  retryAfter: string | null
}): Refusal {
  const error = fieldAt(json(answer.text), 'error')
  const [first] = listAt(error, '@Message.ExtendedInfo')
  const message = textAt(first, 'Message') ?? textAt(error, 'message')
  const seconds = Number(answer.retryAfter ?? 0) || 0
  return {
    status: answer.status,
    messageId: textAt(first, 'MessageId') ?? textAt(error, 'code'),
    message: message?.slice(0, longestMessage),
    retryAfterSeconds: Math.max(seconds, 0),
  }
}

/** `HTTP 400 Base.1.8.ActionNotSupported: The action Reset is not supported.` */
export function refusalText({ status, messageId, message }: Refusal): string {
  const start = messageId === undefined ? `HTTP ${status}` : `HTTP ${status} ${messageId}`
  return message === undefined ? start : `${start}: ${message}`
}

function json(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
