import {millraceNamespace, type Uuid5, uuid5, uuid5Of} from '../schema/uuid5.ts';

/** The namespace of everything that a domain names, a UUID. */
export const domainNamespace = (domain: string): string => uuid5(millraceNamespace, domain);

/**
 * Event ids of a file's rows: uuid5(namespace of the domain, `<input>/<file>/<row>`). @param file its name without path and
 * compression, or the name given with --as.
 */
export const rowIds = (domain: string, input: string, file: string): Uuid5 =>
  uuid5Of(domainNamespace(domain), `${input}/${file}/`);

/** Ids of the dead letters that ingesting a file writes: of (source, position, stage), by row. */
export const deadLetterIds = (domain: string, source: string): Uuid5 =>
  uuid5Of(domainNamespace(domain), `dlq/ingest/${source}/`);
