import type { ComponentChildren } from 'preact'

interface WideProps {
  /** What is in it, for who hears it. */
  label: string
  children: ComponentChildren
}

/** Holds a table that may be wider than the window; it scrolls by keyboard too. */
export function Wide({ label, children }: WideProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must do so by keyboard.
    <section class="wide" tabIndex={0} aria-label={label}>
      {children}
    </section>
  )
}
