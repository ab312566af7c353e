/** The way out that a letter's code has, where there is one beside mending the record itself. */
import type {Letter} from './letters.ts';

const noFrame = /^the record (?:has no value|is JSON|is a file of Avro|has \d+ bytes|begins with the byte)/;

/** Null: the message says it all. */
export function letterHint({
  code,
  message,
  domain,
  eventType,
}: Pick<Letter, 'code' | 'message' | 'domain' | 'eventType'>): string | null {
  if (code === 'DECODE' && noFrame.test(message))
    return `have its producer write Avro in Confluent's wire format (docs/kafka.md: What to produce), or send JSON to POST /v1/events/${domain}/${eventType ?? '<event type>'}; as it is a replay refuses it again`;
  if (code === 'UNKNOWN_SCHEMA')
    return `once the schema is registered: npx millrace dlq replay ${domain} --code UNKNOWN_SCHEMA`;
  return null;
}
