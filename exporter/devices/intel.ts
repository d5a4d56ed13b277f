import { server } from './standard.ts'

/**
 * An Intel server (S2600). The member `Chassis/RackMount` itself is 404. The lines of its supplies
 * read nonsense (572 and 13 V), which is shown as it comes.
 */
export const intel = server('intel', '/redfish/v1/Chassis/RackMount/Baseboard')
