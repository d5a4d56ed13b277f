import { randomBytes } from 'node:crypto'
import type { Seconds } from './load.ts'
import { addFixed, healthy, link, type Resources, resource, root } from './resources.ts'

const service = `${root}/SessionService`
/** Where sessions are made and listed. */
export const sessionsPath = `${service}/Sessions`

/** A session that is not used for so long ends; as captured from Cray controllers, seconds. */
const timeoutSeconds = 30
const mostSessions = 16

interface Session {
  id: string
  userName: string
  usedAt: Seconds
}

/** The SessionService of one device (DSP0266, "Session login"). */
export class Sessions {
  readonly #byToken = new Map<string, Session>()

  /** Adds the service and the list of its sessions to what the device answers. */
  constructor(resources: Resources) {
    addFixed(resources, service, 'SessionService.v1_1_3.SessionService', {
      Description: 'Session Service',
      Id: 'SessionService',
      Name: 'Session Service',
      ServiceEnabled: true,
      SessionTimeout: timeoutSeconds,
      Sessions: link(sessionsPath),
      Status: healthy,
    })
    resources.set(sessionsPath, (at) => {
      this.#forgetOld(at)
      const paths = [...this.#byToken.values()].map(({ id }) => `${sessionsPath}/${id}`)
      return resource(sessionsPath, 'SessionCollection.SessionCollection', {
        Description: 'Collection of Sessions',
        Members: paths.map(link),
        'Members@odata.count': paths.length,
        Name: 'Session Collection',
      })
    })
  }

  /** Whether the token is of a session, which then counts as used. */
  knows(token: string | undefined, at: Seconds): boolean {
    this.#forgetOld(at)
    const session = this.#byToken.get(token ?? '')
    if (session) session.usedAt = at
    return session !== undefined
  }

  /** A new session, its token and what to answer; undefined: there is no room for more. */
  open(userName: string, at: Seconds): { token: string; path: string; body: object } | undefined {
    this.#forgetOld(at)
    if (this.#byToken.size >= mostSessions) return undefined
    const token = randomBytes(16).toString('hex')
    const id = randomBytes(16).toString('hex')
    const session = { id, userName, usedAt: at }
    this.#byToken.set(token, session)
    return { token, path: `${sessionsPath}/${id}`, body: describe(session) }
  }

  /** What is at a path of a session; undefined: nothing. */
  read(path: string): object | undefined {
    const found = this.#find(path)
    return found && describe(found[1])
  }

  /** Whether there was such a session to end. */
  end(path: string): boolean {
    const [token] = this.#find(path) ?? []
    return token !== undefined && this.#byToken.delete(token)
  }

  #find(path: string): [string, Session] | undefined {
    return [...this.#byToken].find(([, { id }]) => path === `${sessionsPath}/${id}`)
  }

  #forgetOld(at: Seconds): void {
    for (const [token, { usedAt }] of this.#byToken) {
      if (at - usedAt > timeoutSeconds) this.#byToken.delete(token)
    }
  }
}

function describe({ id, userName }: Session): object {
  return resource(`${sessionsPath}/${id}`, 'Session.v1_1_1.Session', {
    Description: 'Manager User Session',
    Id: id,
    Name: 'User Session',
    UserName: userName,
  })
}
