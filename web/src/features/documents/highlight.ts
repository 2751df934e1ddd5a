export interface Parts {
  before: string;
  quote: string;
  after: string;
}

/**
 * Cuts a text around a quote. The API counts Unicode code points, JavaScript UTF-16 units, so an emoji before the
 * quote would move it.
 */
export function around(text: string, start: number, end: number): Parts {
  const points = Array.from(text);
  const first = Math.max(0, Math.min(start, points.length));
  const last = Math.max(first, Math.min(end, points.length));
  return {
    before: points.slice(0, first).join(""),
    quote: points.slice(first, last).join(""),
    after: points.slice(last).join(""),
  };
}
