import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  compareXnames,
  isXname,
  parentXname,
  parseXname,
  xnameContains,
} from '../../exporter/inventory/xname.ts'

const number = fc.integer({ min: 0, max: 9999 })

/** The forms of docs-csm, "Component Names (xnames)", that we name. */
const forms =
  'x xe xc xcb xct xcs xcse xcsb xcsbn xcsbnp xcsbnd xcsbna xcr xcrb xcrj xm xmp xmpv xmpj'
const xname = fc
  .constantFrom(...forms.split(' '))
  .chain((form) => fc.tuple(fc.constant(form), fc.array(number, arrayOf(form.length))))
  .map(([form, numbers]) => numbers.map((each, index) => `${form[index]}${each}`).join(''))

describe('an xname', () => {
  it('is what it was once parsed, also from capitals and leading zeros', () => {
    fc.assert(
      fc.property(xname, (text) => {
        assert.equal(parseXname(text).text, text)
        const odd = text.toUpperCase().replace(/[A-Z](?=\d{1,4}(?!\d))/g, '$&0')
        assert.equal(parseXname(odd).text, text)
      }),
    )
  })

  it('lies within itself, its parent and its cabinet, and within nothing beside them', () => {
    fc.assert(
      fc.property(xname, xname, (text, other) => {
        const parent = parentXname(text)
        const cabinet = text.replace(/^(x\d+).*$/, '$1')
        assert.ok(xnameContains(text, text) && xnameContains(cabinet, text))
        assert.ok(parent === undefined ? text === cabinet : xnameContains(parent, text))
        const places = text.match(/[a-z]\d+/g) ?? []
        const around = other.match(/[a-z]\d+/g) ?? []
        const within = around.every((place, index) => places[index] === place)
        assert.equal(xnameContains(other, text), within)
      }),
    )
  })

  it('is refused with its text when it has no known form', () => {
    for (const text of [
      '',
      'x',
      'x1000q3',
      'x1000c0 ',
      ' x1',
      'x1000c0s',
      'n0',
      'x123456',
      'x1x2',
    ]) {
      assert.throws(() => parseXname(text), new RegExp(`${JSON.stringify(text)} is not an xname`))
      assert.equal(isXname(text), false)
    }
  })

  it('has the type that HPE gives its form', () => {
    assert.equal(parseXname('x1000c0b0').type, 'ChassisBMC')
    assert.equal(parseXname('x1000c0s3b0n0').type, 'Node')
    assert.equal(parseXname('x3000m0p0v24').type, 'CabinetPDUPowerConnector')
  })

  it('is ordered by place, numbers by value', () => {
    const names = ['x1000c0s10b0', 'x1000c0s2b0', 'x200', 'x1000c0s2']
    assert.deepEqual(names.sort(compareXnames), [
      'x200',
      'x1000c0s2',
      'x1000c0s2b0',
      'x1000c0s10b0',
    ])
  })
})

function arrayOf(length: number) {
  return { minLength: length, maxLength: length }
}
