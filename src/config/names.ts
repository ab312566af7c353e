/** A letter, then up to 47 letters, digits and `_`; never `__`, which separates a query's name from its revision. */
export const identifierPattern = /^[A-Za-z](?:[A-Za-z0-9]|_(?!_)){0,47}$/;

/** Columns and words that Millrace uses itself. */
export const reservedNames: ReadonlySet<string> = new Set([
  'window_start',
  'window_end',
  'version',
  'closed',
  'deleted',
  'events',
  'event_id',
  'timestamp',
  'event_type',
]);

/** First parts of topics that are no domain's, and namespaces that the databases have themselves. */
export const isReservedDomain = (name: string): boolean =>
  /^(agg|dlq|late|replay|system|information_schema|pg_.*)$/i.test(name);

/** Why a name cannot be used, as `"x" ...`; undefined when it can. */
export function nameProblem(name: string): string | undefined {
  if (identifierPattern.test(name)) return undefined;
  if (name === '') return 'is no name';
  if (name.length > 48) return `is too long for a name: ${name.length} characters, at most 48 are allowed`;
  if (!/^[A-Za-z]/.test(name)) return 'is no name: it does not begin with a letter';
  if (name.includes('__')) return 'is no name: two underscores in a row are not allowed';
  return 'is no name: only letters, digits and _ are allowed';
}

/** An identifier close to what was written, as a hint. */
export function nameHint(name: string): string | undefined {
  const mended = name
    .replace(/[^A-Za-z0-9]+/g, '_')
    .replace(/^[^A-Za-z]+|_+$/g, '')
    .slice(0, 48);
  return identifierPattern.test(mended) && mended !== name ? `for example ${mended}` : undefined;
}
