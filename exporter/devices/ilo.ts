import { server } from './standard.ts'

/** An HPE server with iLO: live power, no energy counter; fans in percent. */
export const ilo = server('ilo', '/redfish/v1/Chassis/1')
