import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Service } from '../../exporter/service/http.ts'
import { compileRegex } from '../../remote-write/protocol/regex.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { type Matcher, read } from '../support/remote-read.ts'
import { startRecord, write } from '../support/remote-write.ts'

/** What Go's regexp/syntax with Prometheus' flags says of whole texts. */
const facts: [regex: string, yes: string[], no: string[]][] = [
  ['', [''], ['a']],
  ['a|b', ['a', 'b'], ['ab', '']],
  ['.+|', ['', 'a'], []],
  ['x1.+', ['x10', 'x1\n'], ['x1', 'ax10']],
  ['.', ['\n', 'ä', '\u{1f600}'], ['', 'ab']],
  ['(?-s).', ['a'], ['\n']],
  ['(?i)X1ä', ['x1Ä', 'X1ä'], ['x2ä']],
  ['a(?i:b)c', ['abc', 'aBc'], ['Abc', 'abC']],
  ['(?i)k', ['K', '\u212a'], ['l']],
  ['(?i)[^k]', ['l'], ['k', 'K', '\u212a']],
  ['(a(?i)b|c)d', ['aBd', 'Cd'], ['Abd', 'cD']],
  ['a{2,3}', ['aa', 'aaa'], ['a', 'aaaa']],
  ['a{,3}', ['a{,3}'], ['a']],
  ['(?:a{2}){2}', ['aaaa'], ['aaa']],
  ['a*?b+?c??', ['b', 'aabbc'], ['a']],
  ['\\d\\D\\w\\W\\s\\S', ['1a_- x'], ['\u0661a_- x']],
  ['\\pL+\\PL', ['äß1'], ['a', '11']],
  ['\\p{Greek}\\p{^Greek}\\p{Lu}', ['αaA'], ['aαA', 'αaa']],
  ['[[:alpha:]]+[[:^digit:]]', ['ab-'], ['ab1', '1-']],
  ['[\\d\\-x]+', ['1-x'], ['y']],
  ['[]a-]+', [']a-'], ['b']],
  ['[^a-c]', ['d', '\n'], ['b']],
  ['\\x41\\x{1F600}\\101\\Q.*\\E+\\.', ['A\u{1f600}A.**.'], ['AA']],
  ['^a$', ['a'], ['a\n']],
  ['\\Aa\\z', ['a'], ['ba']],
  ['(?m)a$\\n^b', ['a\nb'], ['ab']],
  ['a$\\n^b', [], ['a\nb']],
  ['.\\b-\\B-.*', ['a--'], ['a-b']],
  ['(?P<one>a)(?<two>b)(c)', ['abc'], ['ab']],
  ['(a+)+b', [`${'a'.repeat(60)}b`], ['a'.repeat(60)]],
  ['(a*)*|(b|)*', ['aaa', 'bb', ''], ['ab']],
]

const refused = [
  ...['(', 'a)', '[a', '[]', '*a', '|*', 'a**', 'a+*', 'a{2}{3}', 'a{1001}', 'a{3,2}', '\\', '\\8'],
  ...['\\1', '\\C', '\\Z', '\\y', '(?=a)', '(?!a)', '(?<=a)', '(?P<n', '(?z)', '[b-a]', '[\\b]'],
  ...['\\p{Foo}', '[[:foo:]]', '(?:(?:a{1000}){1000}){9}', '('.repeat(2000)],
]

describe('a regular expression of a matcher', () => {
  for (const [regex, yes, no] of facts) {
    it(`is RE2's: ${JSON.stringify(regex)}`, () => {
      const matches = compileRegex(regex)
      assert.deepEqual(
        yes.filter((text) => !matches(text)),
        [],
      )
      assert.deepEqual(no.filter(matches), [])
    })
  }

  it('is refused where Go refuses it', () => {
    const taken = refused.filter((regex) => {
      try {
        compileRegex(regex)
        return true
      } catch (error) {
        assert.equal((error as { status?: number }).status, 400, regex)
        return false
      }
    })
    assert.deepEqual(taken, [])
  })

  it('matches what the language itself matches, where both mean the same', () => {
    fc.assert(
      fc.property(regexes, fc.array(texts, { minLength: 5, maxLength: 20 }), (regex, some) => {
        const expected = new RegExp(`^(?:${regex})$`, 'su')
        const matches = compileRegex(regex)
        for (const text of some) assert.equal(matches(text), expected.test(text), text)
      }),
      { numRuns: 2000 },
    )
  })

  it('takes time in proportion to the text, whatever it is', () => {
    const matches = compileRegex('(x+x+)+y|(?:a?){20}a{20}|(.*)*=(.*)*')
    for (const text of ['x'.repeat(4000), 'a'.repeat(4000)]) assert.equal(matches(text), false)
  })

  it('is tried on 20,000 values in some milliseconds', () => {
    const values = Array.from({ length: 20_000 }, (_, i) => `x${1000 + (i % 8)}c${i % 7}s3b0n${i}`)
    const began = process.cpuUsage()
    const found = values.filter(compileRegex('x100[0-3]c[0-7]s.*n1.*'))
    const { user } = process.cpuUsage(began)
    assert.equal(found.length, 5555)
    assert.ok(user < 200_000, `${user} us`)
  })
})

const texts = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '-', 'A', '\n', 'ä'), maxLength: 6 })

/** What means the same in RE2 and in the language's own expressions. */
const { regexes } = fc.letrec<{ regexes: string; part: string }>((tie) => ({
  regexes: fc.oneof(
    { maxDepth: 3 },
    fc.array(tie('part'), { maxLength: 3 }).map((parts) => parts.join('')),
    fc.array(tie('regexes'), { minLength: 2, maxLength: 3 }).map((parts) => parts.join('|')),
  ),
  part: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom(
      'a',
      'b',
      '.',
      'ä',
      '-',
      '\\n',
      '[ab]',
      '[^a]',
      '[a-c]',
      '\\w',
      '\\d',
      '^',
      '$',
    ),
    fc
      .tuple(tie('regexes'), fc.constantFrom('', '*', '+', '?', '{2}', '{1,3}', '*?', '{0,}'))
      .map(([regex, operator]) => `(?:${regex})${operator}`),
  ),
}))

describe('the matchers of a remote read', () => {
  const now = Date.now()
  let service: Service

  before(async () => {
    service = await startRecord((await cloneDatabase()).url)
  })

  after(() => service.close())

  it('choose the series that a plain model chooses', async () => {
    const value = fc.constantFrom('', 'a', 'b', 'ab', 'a|b', 'A', 'ä', 'a\nb')
    const labels = fc.record({ one: value, two: value })
    const stored = fc.sample(labels, { numRuns: 60, seed: 1 })
    const all = [...new Map(stored.map((some) => [JSON.stringify(some), some])).values()]
    const series = ['m', 'n', 'mn'].flatMap((name) =>
      all.map((some) => {
        const given = Object.entries(some).filter(([, text]) => text !== '')
        return { __name__: name, job: 'x', ...Object.fromEntries(given) }
      }),
    )
    const written = series.map((some) => ({ labels: some, samples: [[now, 1]] as const }))
    assert.equal((await write(service, written)).status, 204)
    const matcher = fc.tuple(
      fc.constantFrom('__name__', 'one', 'two', 'three'),
      fc.constantFrom('=' as const, '!=' as const, '=~' as const, '!~' as const),
      fc.constantFrom(
        '',
        'a',
        'm',
        'm|n',
        'a|b',
        'a|',
        '.*',
        '.+',
        '.+|',
        'a.*',
        '[ab]+',
        'm|x',
        'x',
      ),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(matcher, { maxLength: 4 }), async (matchers) => {
        const answer = await read(service, matchers, [now, now])
        const expected = series.filter((some) => matchers.every((one) => holds(one, some)))
        const shown = (list: readonly object[]) => list.map((one) => JSON.stringify(sorted(one)))
        assert.deepEqual(shown(answer.map((one) => one.labels)).sort(), shown(expected).sort())
      }),
      { numRuns: 150 },
    )
  })
})

function holds([name, kind, value]: Matcher, labels: Record<string, string>): boolean {
  const text = labels[name] ?? ''
  if (kind === '=') return text === value
  if (kind === '!=') return text !== value
  return new RegExp(`^(?:${value})$`, 'su').test(text) === (kind === '=~')
}

function sorted(labels: object): object {
  return Object.fromEntries(Object.entries(labels).sort())
}
