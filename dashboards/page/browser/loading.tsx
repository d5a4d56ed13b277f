import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { get } from './api.ts'

/** What `path` answers, asked again every `seconds`; an error leaves the last answer in place. */
export function useAnswer<T>(path: string | undefined, seconds?: number) {
  const [state, setState] = useState<{ path?: string; value?: T; error?: string }>({})
  useEffect(() => {
    if (path === undefined) return
    const left = new AbortController()
    const ask = () =>
      get<T>(path, left.signal).then(
        (value) => setState({ path, value }),
        (error: unknown) => {
          if (!left.signal.aborted) setState((last) => ({ ...last, path, error: String(error) }))
        },
      )
    void ask()
    const timer = seconds === undefined ? undefined : setInterval(ask, seconds * 1000)
    return () => {
      left.abort()
      clearInterval(timer)
    }
  }, [path, seconds])
  return state.path === path ? state : {}
}

/** Shows `children` once there is an answer, and the error beside them if there is one. */
export function Answer<T>(props: {
  of: { value?: T; error?: string }
  children: (value: T) => ComponentChildren
}) {
  const { value, error } = props.of
  return (
    <>
      {error !== undefined && <p role="alert">{error}</p>}
      {value === undefined
        ? error === undefined && <p class="quiet">Loading …</p>
        : props.children(value)}
    </>
  )
}
