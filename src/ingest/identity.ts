import {millraceNamespace, type Uuid5, uuid5, uuid5Of} from '../schema/uuid5.ts';

/** The namespace of everything that a domain names, a UUID. */
export const domainNamespace = (domain: string): string => uuid5(millraceNamespace, domain);

/**
 * Event ids of a file's rows: uuid5(namespace of the domain, `<input>/<file>/<row>`). @param file its name without path and
 * compression, or the name given with --as.
 */
export function rowIds(domain: string, input: string, file: string): Uuid5 {
  const ids = uuid5Of(domainNamespace(domain), `${input}/${file}/`);
  // The partition is chosen by the id that is then written: the last one is kept, so that it is computed once.
  const last = new Uint8Array(36);
  let lastRow: string | number = '';
  return {
    of: (row) => ids.of(row),
    write(row, buffer, pos) {
      if (row !== lastRow) ids.write(row, last, 0);
      lastRow = row;
      for (let i = 0; i < 36; i++) buffer[pos + i] = last[i]!;
      return pos + 36;
    },
  };
}

/** Ids of the dead letters that ingesting a file writes: of (source, position, stage), by row. */
export const deadLetterIds = (domain: string, source: string): Uuid5 =>
  uuid5Of(domainNamespace(domain), `dlq/ingest/${source}/`);
