import { collectionOf, link, type RedfishTree } from './redfish.ts'

const pdus = '/redfish/v1/PowerEquipment/RackPDUs'

/**
 * A rack PDU of the present DMTF schema, each part there or not, its values told by excerpts, by
 * their sensors, or by both. No two things have the same value. `random` is from 0 up to 1.
 */
export function madeUpPdu(random: () => number): RedfishTree {
  const pdu = `${pdus}/${random() < 0.5 ? '1' : 'West'}`
  const sensors: Record<string, unknown> = {}
  let count = 0
  const maybe = () => random() < 0.5
  const measure = (units: string): object => {
    const Reading = 10 + ++count / 64
    const id = `s${count}`
    const kind = random()
    if (kind < 0.2) return { Reading: null }
    if (kind < 0.5) return { Reading }
    const isListed = kind < 0.8
    if (isListed) sensors[id] = { Id: id, Name: `Part ${id}`, Reading, ReadingUnits: units }
    return { DataSourceUri: `${pdu}/Sensors/${id}`, Reading }
  }
  const some = (properties: Record<string, string>, more = (value: object): unknown => value) =>
    Object.fromEntries(
      Object.entries(properties).flatMap(([name, units]) =>
        maybe() ? [[name, more(measure(units))]] : [],
      ),
    )
  const circuit = () => ({
    ...some({ PowerWatts: 'W', Voltage: 'V', CurrentAmps: 'A', EnergykWh: 'kW.h' }),
    ...some({ PolyPhaseCurrentAmps: 'A' }, (Line1) => ({ Line1, Line2: measure('A') })),
    ...some({ PolyPhaseVoltage: 'V' }, (Line1ToNeutral) => ({ Line1ToNeutral })),
    RatedCurrentAmps: 16,
    NominalVoltage: 'AC230V',
  })
  const parts = ['Outlets', 'Branches', 'Mains', 'Feeders'].filter(maybe)
  const trees = parts.map((name) => {
    const length = Math.floor(random() * 4)
    const members = Array.from({ length }, (_, n) => [`${name[0]}${n + 1}`, circuit()])
    return collectionOf(`${pdu}/${name}`, Object.fromEntries(members))
  })
  const groups = { Row: some({ PowerWatts: 'W', EnergykWh: 'kW.h' }) }
  const metrics = some({
    PowerWatts: 'W',
    EnergykWh: 'kW.h',
    TemperatureCelsius: 'Cel',
    HumidityPercent: '%',
  })
  sensors['Door'] = { Name: 'Door humidity', Reading: 77.125, ReadingUnits: '%' }
  sensors['Lost'] = { Name: 'Lost', Reading: 0, ReadingUnits: 'Cel', Status: { State: 'Absent' } }
  return {
    ...collectionOf(pdus, {
      [pdu.slice(pdus.length + 1)]: {
        ...Object.fromEntries(parts.map((name) => [name, link(`${pdu}/${name}`)])),
        OutletGroups: link(`${pdu}/OutletGroups`),
        Metrics: link(`${pdu}/Metrics`),
        Sensors: link(`${pdu}/Sensors`),
      },
    }),
    ...Object.assign({}, ...trees),
    ...collectionOf(`${pdu}/OutletGroups`, groups),
    [`${pdu}/Metrics`]: metrics,
    ...collectionOf(`${pdu}/Sensors`, sensors),
  }
}
