/** Types of a domain's events for TypeScript, for the transforms of a team: what `millrace export types` prints. */
import type {ValueType} from '../expr/types.ts';
import type {Domain, Field} from '../model/types.ts';

/** What a transform is given for a value of a type. */
const given: Record<ValueType, string> = {
  string: 'string',
  int: 'number',
  long: 'number | bigint',
  double: 'number',
  boolean: 'boolean',
  timestamp: 'number',
  date: 'string',
  uuid: 'string',
  money: 'string',
  enum: 'string',
};

/** What it may return. */
const taken: Record<ValueType, string> = {
  string: 'string',
  int: 'number',
  long: 'number | bigint | string',
  double: 'number',
  boolean: 'boolean',
  timestamp: 'number | string | Date',
  date: 'string | Date',
  uuid: 'string',
  money: 'number | string',
  enum: 'string',
};

const notes: Partial<Record<ValueType, string>> = {
  money: 'money, as "12.34"',
  timestamp: 'epoch milliseconds',
  date: 'YYYY-MM-DD',
  long: 'a bigint beyond 2^53',
};

/** The `.d.ts` of a domain. Names and symbols were checked with the configuration; other text goes into comments alone. */
export function declareTypes(domain: Domain): string {
  const {eventTypes, name} = domain;
  const all = (of: (field: Field) => string[], more: string[]) =>
    eventTypes
      .map(({name: eventType, fields}) => {
        const lines = [...fields.flatMap(of), ...more].map((line) => `    ${line}\n`);
        return `  ${eventType}: {\n${lines.join('')}  };\n`;
      })
      .join('');
  return `// Types of the events of the domain ${name}, made from its configuration: npx millrace export types ${name}
// Do not edit: it is written again when the platform starts in development.

/** An event as a transform gets it. Keys that are no field of the event type are what the record says beside them. */
export type Given = {
${all(givenLines, ['[other: string]: unknown;'])}};

/** An event as a transform returns it. Of a required field the key must be there; NULL makes the record a dead letter. */
export type Returned = {
${all(returnedLines, [])}};

/** Made by \`reject\`. */
export type Rejection = {readonly rejected: unique symbol};

export type Tools = {
  /** Refuses the record: return what it gives. The dead letter has the code \`REJECTED:<code>\`. */
  reject(code: Uppercase<string>, message?: string): Rejection;
};

/** One event, several, or none. */
export type Result<E> = E | readonly E[] | Rejection | null | undefined;

/** The default export of the transform of an event type. */
export type Transform<Name extends keyof Given & keyof Returned> = (
  event: Given[Name],
  tools: Tools,
) => Result<Returned[Name]> | Promise<Result<Returned[Name]>>;
`;
}

const typeOf = (field: Field, types: Record<ValueType, string>): string =>
  field.type === 'enum'
    ? (field.symbols ?? []).map((symbol) => JSON.stringify(symbol)).join(' | ')
    : types[field.type];

/** At most one line; nothing in it ends the comment. */
function comment(field: Field): string[] {
  const text = [field.doc, notes[field.type]].filter(Boolean).join('; ');
  return text === '' ? [] : [`/** ${text.replaceAll('*/', '* /').replace(/\s+/g, ' ')} */`];
}

function givenLines(field: Field): string[] {
  const always = field.role === 'id' || field.role === 'time';
  return [...comment(field), `${field.name}: ${typeOf(field, given)}${always ? '' : ' | null'};`];
}

function returnedLines(field: Field): string[] {
  const {name, required, role} = field;
  if (role === 'id')
    return ['/** Not looked at: the id of an event is made of that of the record. */', 'event_id?: unknown;'];
  if (role === 'time')
    return ['/** Without it: that of the record. */', `timestamp?: ${taken.timestamp} | null;`];
  const type = typeOf(field, taken);
  return [...comment(field), required ? `${name}: ${type} | null;` : `${name}?: ${type} | null | undefined;`];
}
