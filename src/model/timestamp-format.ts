/** The parts of a `timestamp_format`; what they read is in `src/ingest/timeformat.ts`. */
const directives = ['Y', 'y', 'm', 'd', 'H', 'I', 'M', 'S', 's', 'f', 'b', 'p', 'z', '%'] as const;

/** The letter behind a percent sign. */
export type TimestampDirective = (typeof directives)[number];

/** Why a format cannot be used; undefined when it can. */
export function timestampFormatProblem(format: string): string | undefined {
  const known: readonly string[] = directives;
  const used = [...format.matchAll(/%(.?)/gs)].map((match) => match[1]!);
  const unknown = used.find((name) => !known.includes(name));
  if (unknown !== undefined)
    return `%${unknown} is not known; known are ${known.map((name) => `%${name}`).join(' ')}`;
  if (!used.includes('s') && !(used.includes('Y') || used.includes('y')))
    return 'the format names no year (%Y or %y)';
  return undefined;
}
