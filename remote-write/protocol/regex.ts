/**
 * A PromQL regular expression (Go's RE2) in PostgreSQL's syntax, anchored at both ends. PostgreSQL
 * matches in bounded time, which the language's own engine does not. What one letter means
 * otherwise there is translated; what it has no form for (`\pL`, `(?i:x)`) it refuses itself.
 * Sources: RE2 "Syntax"; PostgreSQL manual, "Regular Expression Escapes".
 */
export function toPostgresRegex(regex: string): string {
  const flags = /^\(\?[is]+\)/.exec(regex)?.[0] ?? ''
  const body = regex.slice(flags.length).replace(/\\(.)/gs, (pair, letter: string) => {
    return escapes[letter] ?? pair
  })
  return `${flags.includes('i') ? '(?i)' : ''}^(?:${body})$`
}

/** Word boundaries and the ends of the text. */
const escapes: Record<string, string> = { b: '\\y', B: '\\Y', z: '\\Z' }
