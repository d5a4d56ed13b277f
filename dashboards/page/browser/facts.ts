/** What the server tells the page with it. */
export interface Facts {
  service: 'record' | 'control'
  /** Where the other of the two has its page. */
  otherUrl?: string
  pricePerKwh?: number
  currency?: string
  co2GramsPerKwh?: number
}

export const facts = JSON.parse(document.documentElement.dataset.facts ?? '{}') as Facts
