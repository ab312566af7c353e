/** What of a letter's record people may see where its domain has personal data. Replays get the record itself. */
import type {Domain} from '../model/types.ts';
import {hasPii} from '../privacy/protector.ts';
import type {Letter} from './letters.ts';
import type {LetterEvents} from './letters-events.ts';

const hidden = '***';

/**
 * The letter with a record that shows no personal data: its fields as JSON text, protected ones as `***`; what cannot be divided
 * into fields, and what a field's name does not vouch for, is left out. Unchanged where the domain has no such attribute.
 */
export async function shownLetter(letter: Letter, domains: Domain[], events: LetterEvents): Promise<Letter> {
  const domain = domains.find(({name}) => name === letter.domain);
  if (!domain?.eventTypes.some(hasPii)) return letter;
  // Rows of sinks and frames of the log hold what stands for the values.
  if (letter.kind === 'late' || letter.stage === 'emit' || letter.stage === 'sink') return letter;
  if ('topic' in letter.position) return letter;
  if (letter.original.length === 0) return {...letter, original: Buffer.from('(forgotten)')};
  const unread = `(${letter.original.length} bytes, not shown: the domain has personal data)`;
  const event = letter.stage === 'parse' ? undefined : await events.eventOf(letter).catch(() => undefined);
  const eventType = events.typeOf(letter);
  if (!event || !eventType) return {...letter, original: Buffer.from(unread)};
  const shown = Object.fromEntries(
    eventType.fields.map(({name, type, pii}) => {
      const text = event.texts.get(name) ?? null;
      // A value that is none of its type may have slipped from another column; so may text, unless the rest was right.
      const isSure =
        (event.values.get(name) ?? null) !== null && (type !== 'string' || letter.stage === 'check');
      return [name, text !== null && (pii || !isSure) ? hidden : text];
    }),
  );
  return {...letter, original: Buffer.from(JSON.stringify(shown))};
}
